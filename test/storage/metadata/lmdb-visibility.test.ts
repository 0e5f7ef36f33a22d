// Goal: what must be durable waits for the disk, and an upload session does not, yet outlives its process.
// Method: a kernel whose syncs take long.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseUploadId } from '../../../src/oci/upload-id.ts'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { needs } from '../../support/tools.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { StoreChild } from './store-child.ts'

const syncMs = 400

function slowSyncs(): readonly string[] {
  const inject = `inject=fdatasync:delay_enter=${syncMs}000`
  return ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', inject]
}

test('a manifest waits for its sync, an upload session for none', needs('strace'), async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path, { wrap: slowSyncs() })
    await child.opened()
    const took: number[] = []
    for (let number = 0; number < 4; number++) {
      const manifest = await child.store({ kind: 'store', number })
      assert.ok(manifest.tookMs >= syncMs, `${manifest.tookMs} ms`)
      took.push((await child.store({ kind: 'session' })).tookMs)
    }
    // Of several, since one may be late for reasons of the machine.
    assert.ok(Math.min(...took) < syncMs / 2, `${took} ms`)
    await child.close()
  })
})

test('a session outlives a kill that comes before its sync', needs('strace'), async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path, { wrap: slowSyncs() })
    await child.opened()
    const { name, tookMs } = await child.store({ kind: 'session' })
    await child.kill()
    const store = await openLmdbMetadataStore(lmdbOptions(path))
    assert.ok(store.readUpload(parseUploadId(name)!), `after ${tookMs} ms`)
    await store.close()
  })
})
