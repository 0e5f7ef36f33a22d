// Answers for "the store is untouched": all that a store holds, files and records, in comparable lines.

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { open } from 'lmdb'

/** Records that change by themselves: the holder's heartbeat. */
const ownRecords = 'record s!'

/** A look from outside at the store of a running server. */
export class StoreDump {
  readonly #rootDir: string
  readonly #metadata

  constructor(rootDir: string) {
    this.#rootDir = rootDir
    const path = join(rootDir, '_keelson', 'metadata')
    const root = open({ path, noSubdir: false, readOnly: true, maxDbs: 4 })
    this.#metadata = {
      root,
      records: root.openDB<string, string>('records', { encoding: 'string' }),
      bodies: root.openDB<Uint8Array, string>('bodies', { encoding: 'binary' }),
    }
  }

  /** One line a record and a file, in a fixed order. For small stores: all of it is read. */
  async lines(): Promise<readonly string[]> {
    const { root, records, bodies } = this.#metadata
    root.resetReadTxn()
    return [
      ...Array.from(records.getRange(), ({ key, value }) => `record ${key} ${value}`).filter(
        (line) => !line.startsWith(ownRecords),
      ),
      ...Array.from(bodies.getRange(), ({ key, value }) => `body ${key} ${hash(value)}`),
      ...(await this.files()),
    ]
  }

  /** As `lines`, once no bytes are left of uploads that have ended: they go after the answer. Limits: 20 s. */
  async linesAtRest(): Promise<readonly string[]> {
    const deadline = performance.now() + 20_000
    for (;;) {
      const lines = await this.lines()
      const open = new Set(lines.map((line) => /^record u!(\S+) /.exec(line)?.[1]))
      const isLeft = (line: string): boolean => {
        const id = /^file _keelson\/uploads\/(\S+) /.exec(line)?.[1]
        return id !== undefined && !open.has(id)
      }
      const left = lines.filter(isLeft)
      if (left.length === 0) return lines
      if (performance.now() > deadline) throw new Error(`left after 20 s: ${left.join(', ')}`)
    }
  }

  /** The files of the store without its metadata. */
  async files(): Promise<readonly string[]> {
    const entries = await readdir(this.#rootDir, { recursive: true, withFileTypes: true })
    const lines = entries
      .filter((entry) => entry.isFile() && !entry.parentPath.endsWith('metadata'))
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name)
        return `file ${relative(this.#rootDir, path)} ${hash(await readFile(path))}`
      })
    return (await Promise.all(lines)).sort()
  }

  async close(): Promise<void> {
    await this.#metadata.root.close()
  }
}

function hash(bytes: Uint8Array): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`
}
