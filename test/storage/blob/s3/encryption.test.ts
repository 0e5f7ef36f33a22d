// Goal: each request says of encryption what Amazon S3 documents for it, and nothing more, in the event loop and in the
// threads alike; and nothing relies on what an ETag is made of. Method: a gate before a real S3 server sees all headers;
// whether a server encrypts is its own affair, and this one does not.

import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import type { S3Encryption } from '../../../../src/s3/contract.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type S3Call, S3Gate } from '../../../support/s3-faults.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { mib, openS3Scene, type S3Scene } from './scene.ts'

const plain = 'x-amz-server-side-encryption'
const source = 'x-amz-copy-source-server-side-encryption-customer'
const keyBytes = Buffer.alloc(32, 'a key of a customer')
const key = keyBytes.toString('base64')
const sum = createHash('md5').update(keyBytes).digest('base64')

type Headers = Readonly<Record<string, string>>

const ofCustomer: Headers = {
  [`${plain}-customer-algorithm`]: 'AES256',
  [`${plain}-customer-key`]: key,
  [`${plain}-customer-key-md5`]: sum,
}
const ofSource: Headers = {
  [`${source}-algorithm`]: 'AES256',
  [`${source}-key`]: key,
  [`${source}-key-md5`]: sum,
}

interface Case {
  readonly name: string
  readonly encryption: S3Encryption | undefined
  readonly decides: Headers
  /** With a key of the caller's: what reads and writes say, and what copies say of their source. */
  readonly bytes: Headers
  readonly copies: Headers
}

const none: Headers = {}
const cases: readonly Case[] = [
  { name: 'none', encryption: undefined, decides: none, bytes: none, copies: none },
  {
    ...{ name: 'AES256', encryption: { kind: 'aes256' }, bytes: none, copies: none },
    decides: { [plain]: 'AES256' },
  },
  {
    ...{ name: 'aws:kms', encryption: { kind: 'kms' }, bytes: none, copies: none },
    decides: { [plain]: 'aws:kms' },
  },
  {
    ...{ name: 'aws:kms with a key', bytes: none, copies: none },
    encryption: { kind: 'kms', keyId: 'alias/k' },
    decides: { [plain]: 'aws:kms', [`${plain}-aws-kms-key-id`]: 'alias/k' },
  },
  {
    ...{ name: 'a customer key', encryption: { kind: 'customer', key } },
    ...{ decides: ofCustomer, bytes: ofCustomer, copies: ofSource },
  },
]

function operationOf({ method, target, headers }: S3Call): string {
  const isCopy = headers['x-amz-copy-source'] !== undefined
  const query = new URL(target, 'http://s3.test').searchParams
  if (method === 'PUT' && query.has('partNumber')) return isCopy ? 'UploadPartCopy' : 'UploadPart'
  if (method === 'PUT') return isCopy ? 'CopyObject' : 'PutObject'
  if (method === 'POST') return query.has('uploads') ? 'CreateMultipartUpload' : 'Complete'
  if (method === 'GET' && (query.has('list-type') || query.has('uploads'))) return 'List'
  return { GET: 'GetObject', HEAD: 'HeadObject' }[method] ?? method
}

function expectedOf({ decides, bytes, copies }: Case, operation: string): Headers {
  switch (operation) {
    case 'PutObject':
    case 'CreateMultipartUpload':
      return decides
    case 'CopyObject':
      return { ...decides, ...copies }
    case 'UploadPart':
    case 'GetObject':
    case 'HeadObject':
      return bytes
    case 'UploadPartCopy':
      return { ...bytes, ...copies }
    default:
      return {}
  }
}

describe('encryption by the bucket', needsVersitygw, () => {
  let server: S3Server
  let gate: S3Gate
  before(async () => {
    server = await S3Server.start()
    gate = await S3Gate.open(server.endpoint)
  })
  after(async () => {
    await gate?.close()
    await server?.stop()
  })

  async function useAll({ store, receive, stage }: S3Scene): Promise<void> {
    // One piece, whole; several, with small ones between them; a piece that is used in part.
    for (const cuts of [[3 * mib], [6 * mib, 1000, 2000, 6 * mib]]) {
      const bytes = patternBytes(cuts.reduce((a, b) => a + b))
      const digest = digestOfBytes('sha256', bytes)
      const upload = newUploadId(randomUUID)
      let offset = 0
      for (const size of cuts) {
        await receive({ upload, offset }, bytes.subarray(offset, offset + size))
        offset += size
      }
      await store.publish(upload, digest, bytes.length)
      await store.publish(upload, digest, bytes.length, { replace: true })
      await store.discard(upload)
      const reader = await store.open(digest)
      const read = Buffer.alloc(bytes.length)
      assert.equal(await reader?.read(0, read), bytes.length)
      assert.ok(read.equals(bytes))
      reader?.close()
      assert.notEqual(await store.quarantine(digest), undefined)
      assert.equal(await store.size(digest), undefined)
    }
    await stage(newUploadId(randomUUID), Buffer.alloc(0))
    await store.writeId('_keelson/store-id', randomUUID(), { replaced: false })
    await store.probe()
  }

  for (const each of cases) {
    test(`${each.name}: every request says it as it has to`, async () => {
      const { encryption } = each
      gate.calls.length = 0
      const scene = openS3Scene(gate.endpoint, await server.bucket(), {
        partBytes: 5 * mib,
        ...(encryption === undefined ? {} : { connection: { encryption } }),
      })
      try {
        await useAll(scene)
      } finally {
        await scene.close()
      }
      const seen = new Set<string>()
      for (const call of gate.calls) {
        const operation = operationOf(call)
        seen.add(operation)
        const said = Object.fromEntries(
          Object.entries(call.headers).filter(([name]) => name.includes('server-side-encryption')),
        )
        assert.deepEqual(said, expectedOf(each, operation), operation)
      }
      const all = ['PutObject', 'CopyObject', 'CreateMultipartUpload', 'UploadPart']
      for (const name of [
        ...all,
        'UploadPartCopy',
        'Complete',
        'GetObject',
        'HeadObject',
        'List',
      ]) {
        assert.ok(seen.has(name), name)
      }
    })
  }
})
