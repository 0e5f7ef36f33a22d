// Answers for machines in tests that are a handful of files: a folder in place of `/`, and programs that
// print what they are told to.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after } from 'node:test'
import { type Host, openHost } from '../../src/doctor/host.ts'

/** Content by absolute path; `→ target` makes a symbolic link, `/` at the end a directory. */
export type Tree = Readonly<Record<string, string>>

export interface FakeMachine {
  /** Files, and what `program argument argument` prints. */
  readonly tree?: Tree
  readonly programs?: Readonly<Record<string, string>>
  readonly modes?: Readonly<Record<string, number>>
}

const roots: string[] = []
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true })
})

export function fakeHost({ tree = {}, programs = {}, modes = {} }: FakeMachine): Host {
  const root = mkdtempSync(join(tmpdir(), 'keelson-machine-'))
  roots.push(root)
  for (const [path, content] of Object.entries(tree)) {
    const at = join(root, path)
    mkdirSync(dirname(at), { recursive: true })
    if (path.endsWith('/')) mkdirSync(at, { recursive: true })
    else if (content.startsWith('→ ')) symlinkSync(content.slice(2), at)
    else writeFileSync(at, content)
  }
  for (const [path, mode] of Object.entries(modes)) chmodSync(join(root, path), mode)
  return {
    ...openHost({ root }),
    output: async (program, args) => programs[[program, ...args].join(' ')],
  }
}
