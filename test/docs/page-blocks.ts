// Answers for what the fenced blocks of a page are, and for the marks that say how a test treats one:
// an HTML comment on the line before the fence, which readers of the page do not see.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../support/server.ts'

/** One fenced block, without the indentation of a list that it stands in. */
export interface Block {
  readonly page: string
  /** Of its opening fence. */
  readonly line: number
  /** What stands behind the opening fence; '' where nothing does. */
  readonly language: string
  readonly text: string
  readonly mark: Mark
}

/**
 * `<!-- not run: WHY -->`: no test runs it.
 * `<!-- file: NAME -->`: it is the content of that file, in the folder where the commands run.
 * `<!-- serves -->`: its last line is a server, which runs until the next block that serves.
 */
export type Mark =
  | { readonly kind: 'none' | 'serves' }
  | { readonly kind: 'not-run' | 'file'; readonly value: string }

const fence = /^( *)```(.*)$/
const comment = /^ *<!-- (.*) -->$/

/** The pages that operators read, from the project's root. */
export function pages(): readonly string[] {
  const inDocs = readdirSync(join(projectRoot, 'docs')).filter((name) => name.endsWith('.md'))
  const beside = ['README.md', 'tuning.md', 'bench/README.md']
  return [...beside, ...inDocs.sort().map((name) => `docs/${name}`)]
}

export function readBlocks(page: string): readonly Block[] {
  return blocksIn(page, readFileSync(join(projectRoot, page), 'utf8'))
}

/** Errors: an Error for a fence that is never closed, and for a mark that is none. */
export function blocksIn(page: string, text: string): readonly Block[] {
  const lines = text.split('\n')
  const blocks: Block[] = []
  for (let index = 0; index < lines.length; index += 1) {
    const [, indent = '', language = ''] = fence.exec(lines[index] ?? '') ?? []
    if (!fence.test(lines[index] ?? '')) continue
    const closing = lines.indexOf(`${indent}\`\`\``, index + 1)
    if (closing === -1) throw new Error(`${page}:${index + 1}: a block that is not closed`)
    const body = lines.slice(index + 1, closing).map((line) => `${line.slice(indent.length)}\n`)
    const mark = readMark(page, index, lines[index - 1] ?? '')
    blocks.push({ page, line: index + 1, language: language.trim(), text: body.join(''), mark })
    index = closing
  }
  return blocks
}

function readMark(page: string, line: number, before: string): Mark {
  const said = comment.exec(before)?.[1]
  if (said === undefined) return { kind: 'none' }
  if (said === 'serves') return { kind: 'serves' }
  const [, kind, value = ''] = /^(not run|file): (.+)$/.exec(said) ?? []
  if (kind === undefined) throw new Error(`${page}:${line}: what does "${said}" mean?`)
  return { kind: kind === 'file' ? 'file' : 'not-run', value }
}
