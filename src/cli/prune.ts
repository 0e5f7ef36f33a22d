// `keelson prune`: delete the tags that no retention rule keeps, or tell which they are and why.
import { relative } from 'node:path'
import { askServer, type WithoutServer } from './ask-server.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { jobFlags, runJob, withoutServer } from './run-job.ts'
import { retentionName } from './shown-policy.ts'

export const prune: Command = {
  name: 'prune',
  summary: 'delete the tags that no retention rule keeps',
  help: `Looks at every tag of the repositories that retention rules are about, and deletes those that none of
them keeps, the manifests that no tag names then, and what only an index among these listed. Until
gc.restore_window is over, tag restore and gc restore bring back what went. With --dry-run it prints every
tag and what keeps it, and writes nothing.
The running server does it while it serves; where none runs, the store is opened for that.`,
  flags: {
    ...jobFlags,
    'dry-run': 'print each tag and what keeps it, and change nothing',
  },
  options: { repository: ['NAME', 'look at this repository alone'] },
  run(invocation: Invocation): Promise<number> {
    const { repository } = invocation.options as { readonly repository?: string }
    const of = repository === undefined ? {} : { repository }
    if (invocation.flags.has('dry-run')) return preview(invocation, of)
    return runJob(invocation, 'prune', of)
  },
}

/** As the admin interface of the same version answers. */
interface ShownTag {
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
  readonly by: string
  readonly policy?: string
  readonly rule?: string
  readonly file?: string
  readonly line?: number
  readonly error?: string
}

interface Page {
  readonly tags: readonly ShownTag[]
  readonly faults: readonly string[]
  readonly next?: Readonly<Record<string, string>>
}

// Nobody else waits for the answer, and each one opens the store anew.
const offline: WithoutServer = (config, path, input) =>
  withoutServer(config, `${path}&limit=1000000`, input)

async function preview(
  invocation: Invocation,
  of: { readonly repository?: string },
): Promise<number> {
  const { flags, terminal, cwd } = invocation
  const isJson = flags.has('json')
  const counts = { kept: 0, freed: 0, failing: 0, unruled: 0 }
  const all: ShownTag[] = []
  const faults = new Set<string>()
  let query: URLSearchParams | undefined = new URLSearchParams(of)
  while (query !== undefined) {
    const answer = await askServer(invocation, `/prune/preview?${query}`, undefined, offline)
    if (answer === undefined) return exitCodes.failed
    const page = answer as Page
    for (const tag of page.tags) {
      count(counts, tag)
      if (isJson) all.push(tag)
      else terminal.out(shownTag(tag, cwd))
    }
    for (const fault of page.faults) faults.add(fault)
    query = page.next && new URLSearchParams(page.next)
  }
  if (isJson) {
    const report = { ...counts, tags: all, faults: [...faults] }
    terminal.out(`${JSON.stringify(report, undefined, 2)}\n`)
  } else terminal.out(summary(counts, [...faults]))
  return faults.size === 0 ? exitCodes.ok : exitCodes.failed
}

type Counts = Record<'kept' | 'freed' | 'failing' | 'unruled', number>

function count(counts: Counts, { by }: ShownTag): void {
  if (by === 'unruled') counts.unruled += 1
  else if (by === 'none') counts.freed += 1
  else counts.kept += 1
  if (by === 'failed rule') counts.failing += 1
}

function shownTag(tag: ShownTag, cwd: string): string {
  const { repository, by } = tag
  if (by === 'unruled') return `keeps    ${repository}: no rule is about it\n`
  const verdict = by === 'none' ? 'deletes' : 'keeps'
  return `${verdict.padEnd(7)}  ${repository}:${tag.tag ?? ''}  ${reasonOf(tag, cwd)}\n`
}

function reasonOf({ by, policy = '', rule = '', file = '', line, error }: ShownTag, cwd: string) {
  const near = relative(cwd, file)
  const place = `${near.length < file.length ? near : file}:${line}`
  const oneLine = rule.trim().replaceAll(/\s*\n\s*/g, ' ')
  switch (by) {
    case 'rule':
      return `${place}: ${retentionName(policy)}: ${oneLine}`
    case 'failed rule':
      return `${place}: ${retentionName(policy)}: ${oneLine} failed: ${error ?? ''}`
    case 'immutable':
      return 'the tag is immutable'
    case 'companion':
      return 'the image that it is about is there'
    default:
      return 'no rule keeps it'
  }
}

function summary({ kept, freed, failing, unruled }: Counts, faults: readonly string[]): string {
  const tags = (count: number): string => `${count} tag${count === 1 ? '' : 's'}`
  const lines = [`prune would delete ${tags(freed)} and keep ${tags(kept)}`]
  if (unruled > 0) lines.push(`repositories that no rule is about: ${unruled}`)
  if (failing > 0) lines.push(`${tags(failing)} kept only because a rule failed`)
  lines.push(...faults.map((fault) => `passed over: ${fault}`))
  return `\n${lines.join('\n')}\n`
}
