// Blobs in a bucket beside the plain SDK: pushes and pulls of the same bytes, interleaved, and the memory of uploads under
// way. Everything shares the cores of the machine, the S3 server too, so that only ratios count.
//
// node dist/bench/micro/bucket.js [MiB (256)] [rounds (5)] [uploads under way (16)]
// Needs Go, for versitygw.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { digestOf, RegistryClient, withQuery } from '../../test/support/registry-client.ts'
import { type Server, startServer } from '../../test/support/server.ts'
import { S3Server, s3Keys } from '../../test/support/versitygw.ts'
import { median } from '../statistics.ts'
import { resident } from '../usage.ts'

const MIB = 1 << 20
const PART_BYTES = 16 * MIB
const LANES = 2
const REPOSITORY = 'bench/bucket'

const [mib = 256, rounds = 5, uploads = 16] = process.argv.slice(2).map(Number)

/** As many parts at a time as the product sends of an upload. */
async function pushBySdk(sdk: S3Client, Bucket: string, Key: string, body: Buffer): Promise<void> {
  const { UploadId } = await sdk.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  const parts: { PartNumber: number; ETag: string | undefined }[] = []
  let next = 1
  const lane = async (): Promise<void> => {
    for (;;) {
      const PartNumber = next++
      const Body = body.subarray((PartNumber - 1) * PART_BYTES, PartNumber * PART_BYTES)
      if (Body.length === 0) return
      const part = { Bucket, Key, UploadId, PartNumber, Body }
      const { ETag } = await sdk.send(new UploadPartCommand(part))
      parts[PartNumber - 1] = { PartNumber, ETag }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const whole = { Bucket, Key, UploadId, MultipartUpload: { Parts: parts } }
  await sdk.send(new CompleteMultipartUploadCommand(whole))
}

async function pullBySdk(sdk: S3Client, Bucket: string, Key: string): Promise<number> {
  const { Body } = await sdk.send(new GetObjectCommand({ Bucket, Key }))
  return count(Body as AsyncIterable<Uint8Array>)
}

async function count(body: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for await (const chunk of body) bytes += chunk.length
  return bytes
}

async function begin(client: RegistryClient): Promise<string> {
  const { headers } = await client.call('POST', `/v2/${REPOSITORY}/blobs/uploads/`)
  return headers['location'] ?? ''
}

/** As docker pushes: the digest is told when all bytes are there. Answers how long these took. */
async function push(client: RegistryClient, body: Buffer, digest: string): Promise<number> {
  const begunAt = performance.now()
  const type = { 'Content-Type': 'application/octet-stream' }
  const sent = await client.call('PATCH', await begin(client), { body, headers: type })
  const sentMs = performance.now() - begunAt
  const { status } = await client.finish(sent.headers['location'] ?? '', digest)
  if (sent.status !== 202 || status !== 201) throw new Error(`${sent.status}, ${status}`)
  return sentMs
}

/** As oras and crane push: it is known from the start. */
async function pushTold(client: RegistryClient, body: Buffer, digest: string): Promise<void> {
  const { status } = await client.call('PUT', withQuery(await begin(client), 'digest', digest), {
    body,
    headers: { 'Content-Type': 'application/octet-stream' },
  })
  if (status !== 201) throw new Error(String(status))
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const begunAt = performance.now()
  await action()
  return performance.now() - begunAt
}

function tell(what: string, ours: readonly number[], its: readonly number[]): void {
  const ratio = median(ours.map((ms, round) => (its[round] ?? 0) / ms))
  const rate = (ms: readonly number[]): string => ((mib * 1000) / median(ms)).toFixed(0)
  process.stdout.write(
    `${what}: ${rate(ours)} MiB/s, SDK ${rate(its)} MiB/s, ${ratio.toFixed(2)} ×\n`,
  )
}

/** Of which half the bytes have come, and no more come. */
async function measureMemory({ url, pid }: Server, client: RegistryClient): Promise<void> {
  const before = resident(pid).anonymousBytes
  const half = randomBytes(32 * MIB)
  const open = await Promise.all(
    Array.from({ length: uploads }, async () => {
      const target = new URL(await begin(client), url)
      const sending = request(target, {
        method: 'PATCH',
        headers: {
          'Content-Type': 'application/octet-stream',
          'Content-Length': String(2 * half.length),
        },
      })
      sending.on('error', () => undefined)
      if (!sending.write(half)) await once(sending, 'drain')
      return sending
    }),
  )
  const each = (resident(pid).anonymousBytes - before) / uploads / MIB
  process.stdout.write(`memory for each of ${uploads} uploads under way: ${each.toFixed(1)} MiB\n`)
  for (const sending of open) sending.destroy()
}

const s3 = await S3Server.start()
const bucket = await s3.bucket()
const records = await mkdtemp(join(tmpdir(), 'keel-bucket-'))
const server = await startServer({
  base: `[server]
bind_address = "127.0.0.1"
port = 0
[blob_store.s3]
endpoint = "${s3.endpoint}"
bucket = "${bucket}"
path_style = true
access_key_id = "${s3Keys.accessKeyId}"
secret_access_key = "${s3Keys.secretAccessKey}"
part_size = "16MiB"
[metadata_store.lmdb]
path = "${join(records, 'records')}"
[global.access_policy]
default = "allow"
`,
})
const sdk = new S3Client({
  ...{ endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true, credentials: s3Keys },
})
const client = new RegistryClient(server.url)
try {
  await measureMemory(server, client)
  const body = randomBytes(mib * MIB)
  const ms = { sdk: [], patch: [], sent: [], told: [], pullSdk: [], pull: [] } as Record<
    'sdk' | 'patch' | 'sent' | 'told' | 'pullSdk' | 'pull',
    number[]
  >
  for (let round = 0; round < rounds; round++) {
    const Key = `plain-${round}`
    body.writeUInt32BE(2 * round)
    const digest = digestOf(body)
    ms.sdk.push(await timed(() => pushBySdk(sdk, bucket, Key, body)))
    ms.patch.push(
      await timed(async () => {
        ms.sent.push(await push(client, body, digest))
      }),
    )
    body.writeUInt32BE(2 * round + 1)
    const other = digestOf(body)
    ms.told.push(await timed(() => pushTold(client, body, other)))
    ms.pullSdk.push(await timed(() => pullBySdk(sdk, bucket, Key)))
    const path = `/v2/${REPOSITORY}/blobs/${digest}`
    ms.pull.push(await timed(async () => count(await client.open('GET', path))))
  }
  tell('push, digest told last', ms.patch, ms.sdk)
  tell('… of that the bytes', ms.sent, ms.sdk)
  tell('push, digest told first', ms.told, ms.sdk)
  tell('pull', ms.pull, ms.pullSdk)
} finally {
  client.close()
  sdk.destroy()
  await server.stop()
  await s3.stop()
  await rm(records, { recursive: true, force: true })
}
