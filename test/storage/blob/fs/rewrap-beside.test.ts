// Goal: whoever reads a header while a rewrap goes on finds the key: of two wraps it may see the one as it was before it
// was written and the other after it was overwritten. Method: files that give such a header at the first look.

import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { headerBytes, wrapBytes, wrapPositions } from '../../../../src/sealing/layout.ts'
import { FsSealing } from '../../../../src/storage/blob/fs/sealed-files.ts'
import { SealedForm } from '../../../../src/storage/blob/fs/sealed-form.ts'
import { dataKey } from '../../../../src/storage/blob/keys.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { keyOf } from '../../../../workers/sealed-file.ts'
import { IngestFailure } from '../../../../workers/staged-file.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { openSealedScene, someKeys } from './scene.ts'

const bytes = patternBytes(5000)
const digest = digestOfBytes('sha256', bytes)

interface Looked {
  readonly root: string
  readonly path: string
  readonly file: Buffer
  /** Both wraps empty the first `count` times. */
  readonly torn: (count: number) => (target: Buffer) => void
}

async function withBlob(body: (looked: Looked) => Promise<void>): Promise<void> {
  const scene = await openSealedScene()
  try {
    const upload = newUploadId(() => '00000000-0000-4000-8000-000000000001')
    await scene.stage(upload, bytes)
    await scene.store.publish(upload, digest, bytes.length)
    const path = join(scene.root, dataKey(digest))
    const file = await readFile(path)
    const torn = (count: number) => {
      let left = count
      return (target: Buffer): void => {
        file.copy(target, 0, 0, target.length)
        left -= 1
        if (left < 0) return
        for (const at of wrapPositions) target.fill(0, at, at + wrapBytes)
      }
    }
    await body({ root: scene.root, path, file, torn })
  } finally {
    await scene.close()
  }
}

function opening(count: number): (looked: Looked) => Promise<number> {
  return async ({ root, path, file, torn }) => {
    const forged: string[] = []
    const sealing = new FsSealing(root, someKeys, (each) => forged.push(each))
    const form = new SealedForm(root, someKeys, sealing, async () => undefined)
    const look = torn(count)
    const raw = {
      size: file.length,
      read: async (position: number, target: Buffer) => {
        if (position === 0 && target.length === headerBytes) look(target)
        else file.copy(target, 0, position, position + target.length)
      },
      close: () => {},
    }
    const opened = { file: raw, path, stats: await stat(path), digest }
    const reader = await form.read(opened as unknown as Parameters<typeof form.read>[0])
    assert.deepEqual(forged, [])
    return reader.size
  }
}

test('a pull looks once more, and then has the blob', () =>
  withBlob(async (looked) => {
    assert.equal(await opening(0)(looked), bytes.length)
    assert.equal(await opening(1)(looked), bytes.length)
  }))

test('what stays so is damaged', () =>
  withBlob(async (looked) => {
    await assert.rejects(
      opening(Number.POSITIVE_INFINITY)(looked),
      (error) => error instanceof StorageError && error.kind === 'corrupt',
    )
  }))

test('a thread that goes on with an upload looks once more, too', () =>
  withBlob(async ({ path, torn }) => {
    const raw = async (count: number) => {
      const look = torn(count)
      const stats = await stat(path)
      return { read: async (target: Buffer) => look(target), stat: () => stats }
    }
    const first = Buffer.alloc(headerBytes)
    torn(1)(first)
    type Raw = Parameters<typeof keyOf>[0]
    const key = await keyOf((await raw(0)) as unknown as Raw, first, someKeys)
    assert.equal(key.type, 'secret')
    const always = (await raw(Number.POSITIVE_INFINITY)) as unknown as Raw
    await assert.rejects(keyOf(always, first, someKeys), IngestFailure)
  }))
