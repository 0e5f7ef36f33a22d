// Goal: what is removed to be overwritten is overwritten, and nothing that anybody else still needs is.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  chmod,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestHex, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import type { Erased } from '../../../../src/storage/blob/contract.ts'
import { erasingMode } from '../../../../src/storage/blob/fs/erase.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type FsScene, openFsScene } from './scene.ts'

// More than two pieces, and no whole number of them.
const bytes = patternBytes(2 * 1024 * 1024 + 4321)
const digest = digestOfBytes('sha256', bytes)
const hex = digestHex(digest)

interface Scene extends FsScene {
  readonly data: string
  readonly erasing: string
  publish(): Promise<void>
  erase(mayGoOn?: (bytes: number) => Promise<void>): Promise<Erased[]>
}

function check(title: string, body: (scene: Scene) => Promise<void>): void {
  test(`erase: ${title}`, async () => {
    const scene = await openFsScene()
    const { root, stage, store } = scene
    try {
      await body({
        ...scene,
        data: join(root, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data'),
        erasing: join(root, '_keelson', 'erasing'),
        publish: async () => {
          const upload = newUploadId(randomUUID)
          await stage(upload, bytes)
          await store.publish(upload, digest, bytes.length)
          await store.discard(upload)
        },
        erase: async (mayGoOn = async () => {}) => {
          const erased = []
          for await (const each of store.eraseRemoved(mayGoOn)) erased.push(each)
          return erased
        },
      })
    } finally {
      await scene.close()
    }
  })
}

// Whether any run of the old content is still there, wherever: 64 bytes of chance are none of it.
function isLeftIn(content: Buffer): boolean {
  for (let at = 0; at + 64 <= content.length; at += 64) {
    if (content.subarray(at, at + 64).equals(bytes.subarray(at, at + 64))) return true
  }
  return false
}

check('nothing of the old bytes is left in the file, and the file is gone', async (scene) => {
  await scene.publish()
  const file = await open(scene.data, 'r')
  try {
    await scene.store.remove(digest, { overwrite: true })
    const [name = ''] = await readdir(scene.erasing)
    assert.match(name, new RegExp(`^sha256-${hex}\\.`))
    // Set aside, and not yet another one.
    assert.deepEqual(await readFile(join(scene.erasing, name)), bytes)
    assert.deepEqual(await scene.erase(), [{ kind: 'overwritten', size: bytes.length }])
    const left = Buffer.alloc(bytes.length)
    assert.equal((await file.read(left, 0, left.length, 0)).bytesRead, bytes.length)
    assert.equal(isLeftIn(left), false)
    const { mode, nlink } = await file.stat()
    assert.deepEqual([mode & 0o7777, nlink], [erasingMode, 0])
  } finally {
    await file.close()
  }
  assert.deepEqual(await readdir(scene.erasing), [])
})

check('a file with another name keeps its bytes under that name', async (scene) => {
  await scene.publish()
  const backup = join(scene.root, 'backup')
  await link(scene.data, backup)
  await scene.store.remove(digest, { overwrite: true })
  assert.deepEqual(await scene.erase(), [{ kind: 'unlinked', size: bytes.length }])
  assert.deepEqual(await readFile(backup), bytes)
  assert.equal((await stat(backup)).mode & 0o7777, 0o600)
  assert.deepEqual(await readdir(scene.erasing), [])
})

check('an upload that published its bytes under a name that goes keeps them', async (scene) => {
  const upload = newUploadId(randomUUID)
  await scene.stage(upload, bytes)
  await scene.store.publish(upload, digest, bytes.length)
  await scene.store.remove(digest, { overwrite: true })
  await scene.erase()
  await scene.store.publish(upload, digest, bytes.length)
  await scene.store.discard(upload)
  assert.deepEqual(await readFile(scene.data), bytes)
})

check('what a kill left in the middle is finished, however far it was', async (scene) => {
  await mkdir(scene.erasing)
  const untouched = join(scene.erasing, `sha256-${hex}.one`)
  const marked = join(scene.erasing, `sha256-${hex}.two`)
  await writeFile(untouched, bytes)
  await writeFile(marked, bytes)
  await chmod(marked, erasingMode)
  const whole = { kind: 'overwritten', size: bytes.length }
  assert.deepEqual(await scene.erase(), [whole, whole])
  assert.deepEqual(await readdir(scene.erasing), [])
})

check('a file is marked before its first byte goes', async (scene) => {
  await scene.publish()
  const reader = await scene.store.open(digest)
  await scene.store.remove(digest, { overwrite: true })
  let pieces = 0
  const fates: (string | undefined)[] = []
  const stop = async (): Promise<void> => {
    pieces += 1
    fates.push(reader?.fateNow?.())
    if (pieces === 2) throw new Error('stop')
  }
  await assert.rejects(scene.erase(stop), { message: 'stop' })
  assert.deepEqual(fates, ['overwritten', 'overwritten'])
  reader?.close()
  const [name = ''] = await readdir(scene.erasing)
  assert.equal((await stat(join(scene.erasing, name))).mode & 0o7777, erasingMode)
  assert.equal((await scene.erase()).length, 1)
})

check('what cannot be overwritten is told and stays, and the others go', async (scene) => {
  await scene.publish()
  await scene.store.remove(digest, { overwrite: true })
  const outside = join(scene.root, 'outside')
  await writeFile(outside, bytes)
  await symlink(outside, join(scene.erasing, 'a-link'))
  await mkdir(join(scene.erasing, 'a-directory'))
  const erased = await scene.erase()
  const failed = erased.flatMap((each) => (each.kind === 'failed' ? [each.place] : []))
  assert.deepEqual(failed.sort(), [
    join(scene.erasing, 'a-directory'),
    join(scene.erasing, 'a-link'),
  ])
  assert.equal(erased.filter(({ kind }) => kind === 'overwritten').length, 1)
  assert.deepEqual(await readFile(outside), bytes)
  assert.deepEqual((await readdir(scene.erasing)).sort(), ['a-directory', 'a-link'])
})
