// A program: clients that push whole images as Docker does, five layers at a time, for a bounded
// time; prints a DriverResult of images. Its order is its one argument, in JSON.

import { imageManifest, type Payload, PayloadSource, smallPayload } from '../content.ts'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { pushBlob } from './push.ts'
import { RawConnection } from './raw-connection.ts'

export interface ImageOrder {
  readonly port: number
  readonly repository: string
  readonly configBytes: number
  readonly layerBytes: readonly number[]
  /** Each pushes one image at a time, over as many connections as the image has layers. */
  readonly clients: number
  /** No image starts after this; each client pushes at least one. */
  readonly seconds: number
  /** No image starts once this much was sent. Units: bytes. */
  readonly bytesMax: number
}

const order = JSON.parse(process.argv[2] ?? '') as ImageOrder
const sources = order.layerBytes.map((size) => new PayloadSource(size))

/** Docker asks for each blob before it sends it. */
async function pushUnlessThere(connection: RawConnection, blob: Payload): Promise<void> {
  const path = `/v2/${order.repository}/blobs/${blob.digest}`
  const { status } = await connection.exchange('HEAD', path)
  if (status !== 404) throw new Error(`HEAD of a new blob: ${status}`)
  await pushBlob(connection, order.repository, blob, 'docker')
}

/** Gives the bytes that it sent. */
async function pushImage(lanes: readonly RawConnection[], tag: string): Promise<number> {
  const [first] = lanes
  if (first === undefined) throw new Error('an image needs a layer')
  const layers = sources.map((source) => source.next())
  await Promise.all(
    lanes.map((lane, index) => {
      const layer = layers[index]
      return layer === undefined ? undefined : pushUnlessThere(lane, layer)
    }),
  )
  const config = smallPayload(order.configBytes)
  await pushUnlessThere(first, config)
  const manifest = imageManifest(tag, config, layers)
  const answer = await first.exchange(
    'PUT',
    `/v2/${order.repository}/manifests/${tag}`,
    [`Content-Type: ${manifest.mediaType}`, `Content-Length: ${manifest.bytes.length}`],
    [manifest.bytes],
  )
  const told = answer.headers.get('docker-content-digest')
  if (answer.status !== 201 || told !== manifest.digest) {
    throw new Error(`manifest: ${answer.status} ${told} ${answer.body.toString()}`)
  }
  return [config, ...layers].reduce((sum, { size }) => sum + size, manifest.bytes.length)
}

const latenciesMs: number[] = []
let bytes = 0
const clients = await Promise.all(
  Array.from({ length: order.clients }, () =>
    Promise.all(
      order.layerBytes.map(() => RawConnection.open({ port: order.port, credentials: undefined })),
    ),
  ),
)
const start = performance.now()
const end = start + order.seconds * 1000
await Promise.all(
  clients.map(async (lanes, client) => {
    do {
      const began = performance.now()
      const sent = await pushImage(lanes, `client-${client}`)
      bytes += sent
      latenciesMs.push(performance.now() - began)
    } while (performance.now() < end && bytes < order.bytesMax)
  }),
)
const result: DriverResult = {
  requests: latenciesMs.length,
  bytes,
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
}
for (const lane of clients.flat()) lane.close()
process.stdout.write(JSON.stringify(result))
