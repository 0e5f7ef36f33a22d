// Puts a script for wrk where wrk can read it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atEnd } from '../children.ts'

/** The path of a file with this text, removed when the bench ends. */
export function scriptFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'keelson-bench-script-'))
  atEnd(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'wrk.lua')
  writeFileSync(file, text)
  return file
}
