// Answers for the commands that a page of the documentation tells people to type.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blocksOf } from './page.ts'
import { projectRoot } from './server.ts'

/** The scripts of a page's second-level sections, by heading; '' is what stands before them. */
export async function recipesOf(page: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(join(projectRoot, 'docs', page), 'utf8')
  const scripts = new Map<string, string>()
  for (const section of text.split(/^(?=## )/m)) {
    const heading = /^## (.+)$/m.exec(section)?.[1] ?? ''
    scripts.set(heading, blocksOf(section, 'bash').join(''))
  }
  return scripts
}
