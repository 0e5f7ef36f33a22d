// A process of a storm: it opens the shared store, writes a little, closes it, and begins again, until it
// is told to end or is killed. It reports what was acknowledged to it, and what of that it did not find.

import {
  type LmdbMetadataStore,
  openLmdbMetadataStore,
} from '../../src/storage/metadata/lmdb/open.ts'
import { app, manifest, tag } from '../contract/metadata/scene.ts'
import { lmdbOptions } from '../storage/metadata/lmdb-scene.ts'

export type StormReport =
  | { readonly kind: 'opened' }
  | { readonly kind: 'stored'; readonly name: string }
  | { readonly kind: 'lost'; readonly name: string }
  | { readonly kind: 'failed'; readonly reason: string }

const [path = '', durability = '', id = ''] = process.argv.slice(2)
// Most only open and close: that is quick, and where the harm was done.
const opensPerPut = 3

let isEnding = false
process.on('message', () => {
  isEnding = true
})

function report(message: StormReport): void {
  process.send?.(message)
}

async function main(): Promise<void> {
  const options = lmdbOptions(path, {
    durability: durability === 'none' ? 'none' : 'fsync',
    sharing: 'shared',
  })
  for (let opens = 0; !isEnding; opens++) {
    const store = await openLmdbMetadataStore(options)
    report({ kind: 'opened' })
    if (opens % opensPerPut === 0) await put(store, opens)
    await store.close()
  }
}

async function put(store: LmdbMetadataStore, number: number): Promise<void> {
  const own = tag(`process-${id}`)
  const name = `process ${id} ${number}`
  const image = manifest(name, { tags: [own] })
  await store.putManifest(image)
  report({ kind: 'stored', name })
  store.refresh()
  if (store.readTag(app, own) !== image.digest) report({ kind: 'lost', name })
}

main()
  .catch((error: Error) => report({ kind: 'failed', reason: error.message }))
  .finally(() => process.disconnect())
