// Goal: files of today stay readable for ever. Method: one file whose bytes are put together here by AES-256-GCM alone, with
// fixed keys and nonces, and whose digest is known.

import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { digestHex, digestOfBytes } from '../../../../src/oci/digest.ts'
import { keyIdOf, parseKeys } from '../../../../src/sealing/keys.ts'
import { dataKey } from '../../../../src/storage/blob/keys.ts'
import { openSealedScene } from './scene.ts'

// As the AES of another library has it.
const fileHex = '9d6f0a981951c397e678da799f9bfdc4b859a7c6e973da56fc9c74a334601654'
const masterKey = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
const fileKey = Buffer.from(Array.from({ length: 32 }, (_, i) => 255 - i))
const blob = Buffer.from('keelson '.repeat(8193))

function gcm(key: Buffer, nonce: Buffer, label: Buffer, message: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(label)
  const encrypted = Buffer.concat([cipher.update(message), cipher.final()])
  return Buffer.concat([nonce, encrypted, cipher.getAuthTag()])
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}

const text = (value: string): Buffer => Buffer.from(value, 'latin1')

test('a file in the known form is read, and its form has a known digest', async () => {
  const id = Buffer.from(keyIdOf(masterKey), 'hex')
  assert.equal(id.toString('hex'), '1a7defab9eadbd67')
  const hex = digestHex(digestOfBytes('sha256', blob))
  const header = Buffer.alloc(12_288)
  text('keelson.sealed.1').copy(header)
  const fields = Buffer.concat([number(blob.length), Buffer.from(hex, 'hex')])
  const sealLabel = Buffer.concat([text('keelson seal 1sha256'), fields])
  const seal = gcm(fileKey, Buffer.alloc(12, 1), sealLabel, Buffer.alloc(0))
  Buffer.concat([seal.subarray(0, 12), fields, seal.subarray(12)]).copy(header, 64)
  const wrapLabel = Buffer.concat([text('keelson wrap 1'), id])
  Buffer.concat([id, gcm(masterKey, Buffer.alloc(12, 2), wrapLabel, fileKey)]).copy(header, 4096)
  const part = (index: number): Buffer => {
    const bytes = blob.subarray(index * 65_536, (index + 1) * 65_536)
    const label = Buffer.concat([text('keelson part 1'), number(index)])
    return gcm(fileKey, Buffer.alloc(12, 3 + index), label, bytes)
  }
  const file = Buffer.concat([header, part(0), part(1)])
  assert.equal(digestHex(digestOfBytes('sha256', file)), fileHex)
  const scene = await openSealedScene(parseKeys(masterKey.toString('base64')))
  try {
    const digest = digestOfBytes('sha256', blob)
    const path = join(scene.root, dataKey(digest))
    await mkdir(dirname(path))
    await writeFile(path, file)
    const reader = await scene.store.open(digest)
    const read = Buffer.alloc(reader?.size ?? 0)
    await reader?.read(0, read)
    reader?.close()
    assert.ok(read.equals(blob))
  } finally {
    await scene.close()
  }
})
