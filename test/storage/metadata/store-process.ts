// A process of its own that opens a store and does what it is told: it answers on IPC what came of it.

import { StorageError } from '../../../src/storage/error.ts'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { app, latest, manifest, tag, upload } from '../../contract/metadata/scene.ts'
import { lmdbOptions } from './lmdb-scene.ts'

export type ChildMessage =
  /** `pid` is the store's process, whatever wraps it. */
  | { readonly kind: 'open'; readonly pid: number }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'stored'; readonly name: string; readonly tookMs: number }
  | { readonly kind: 'failed'; readonly reason: string }

export type ParentMessage =
  /** Answered by `stored` with the digest: a manifest of that number, tagged latest. */
  | { readonly kind: 'store'; readonly number: number }
  /** Answered by `stored` with the id of a new upload session. */
  | { readonly kind: 'session' }
  /** Answered by `stored`: it has looked up a tag, and keeps the snapshot for a moment. */
  | { readonly kind: 'read' }
  | { readonly kind: 'close' }

const [path = '', sharing = '', durability = ''] = process.argv.slice(2)

function say(message: ChildMessage): void {
  process.send?.(message)
}

async function answer(name: string, write: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now()
  try {
    await write()
    say({ kind: 'stored', name, tookMs: performance.now() - startedAt })
  } catch (error) {
    const reason = error instanceof StorageError ? `${error.kind}: ${error.message}` : `${error}`
    say({ kind: 'failed', reason })
  }
}

async function main(): Promise<void> {
  const store = await openLmdbMetadataStore(
    lmdbOptions(path, {
      sharing: sharing === 'shared' ? 'shared' : 'exclusive',
      durability: durability === 'none' ? 'none' : 'fsync',
    }),
  )
  process.on('message', (message: ParentMessage) => {
    if (message.kind === 'close') {
      void store.close().then(() => process.disconnect())
    } else if (message.kind === 'read') {
      void answer('', async () => store.readTag(app, latest))
    } else if (message.kind === 'session') {
      const record = upload()
      void answer(record.id, () => store.createUpload(record))
    } else {
      const put = manifest(`m${message.number}`, { tags: [tag('latest')] })
      void answer(put.digest, () => store.putManifest(put))
    }
  })
  say({ kind: 'open', pid: process.pid })
}

main().catch((error: Error) => {
  say({ kind: 'refused', reason: error.message })
  process.disconnect()
})
