// A process of its own that opens a store and holds it: it answers on IPC what came of it.

import { StorageError } from '../../../src/storage/error.ts'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { manifest, tag } from '../../contract/metadata/scene.ts'
import { lmdbOptions } from './lmdb-scene.ts'

export type ChildMessage =
  | { readonly kind: 'open' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'stored'; readonly number: number; readonly digest: string }
  | { readonly kind: 'failed'; readonly number: number; readonly reason: string }

export type ParentMessage =
  | { readonly kind: 'store'; readonly number: number }
  | { readonly kind: 'close' }

const [path = '', sharing = '', durability = ''] = process.argv.slice(2)

function say(message: ChildMessage): void {
  process.send?.(message)
}

async function main(): Promise<void> {
  const store = await openLmdbMetadataStore(
    lmdbOptions(path, {
      sharing: sharing === 'shared' ? 'shared' : 'exclusive',
      durability: durability === 'none' ? 'none' : 'fsync',
    }),
  )
  process.on('message', (message: ParentMessage) => {
    if (message.kind === 'close') void store.close().then(() => process.disconnect())
    else void storeOne(message.number)
  })
  const storeOne = async (number: number): Promise<void> => {
    const put = manifest(`m${number}`, { tags: [tag('latest')] })
    try {
      await store.putManifest(put)
      say({ kind: 'stored', number, digest: put.digest })
    } catch (error) {
      const reason = error instanceof StorageError ? `${error.kind}: ${error.message}` : `${error}`
      say({ kind: 'failed', number, reason })
    }
  }
  say({ kind: 'open' })
}

main().catch((error: Error) => {
  say({ kind: 'refused', reason: error.message })
  process.disconnect()
})
