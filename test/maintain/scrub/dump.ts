// Answers for "nothing was touched": all rows, bodies and files of a scene, in comparable lines.

import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { MaintainScene } from '../../support/maintain.ts'

/** One line each, in a fixed order; files with their mode and time. Without what a process keeps for itself. */
export async function dumpOf(scene: MaintainScene): Promise<string[]> {
  const { records, rootDir } = scene.disk
  const snapshot = records.snapshot()
  try {
    const all = { start: ' ', end: '~' }
    const rows = (await snapshot.entries(all)).map(({ key, value }) => `record ${key} ${value}`)
    const bodies: string[] = []
    for (const key of await snapshot.bodyKeys(all)) {
      bodies.push(`body ${key} ${sum((await snapshot.getBody(key)) ?? new Uint8Array())}`)
    }
    const own = rows.filter((line) => !line.startsWith('record s!'))
    return [...own, ...bodies, ...(rootDir === undefined ? [] : await files(rootDir))]
  } finally {
    snapshot.close()
  }
}

async function files(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const lines = entries
    .filter((entry) => !entry.parentPath.endsWith('metadata') && entry.name !== 'metadata')
    .map(async (entry) => {
      const path = join(entry.parentPath, entry.name)
      const { mode, mtimeMs } = await lstat(path)
      const shown = `${relative(root, path)} ${mode.toString(8)}`
      if (entry.isDirectory()) return `directory ${shown}`
      if (entry.isSymbolicLink()) return `link ${shown} ${await readlink(path)}`
      return `file ${shown} ${mtimeMs} ${sum(await readFile(path))}`
    })
  return (await Promise.all(lines)).sort()
}

function sum(bytes: Uint8Array): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`
}
