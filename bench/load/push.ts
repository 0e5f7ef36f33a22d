// One blob push, in the shapes that clients use.

import type { Payload } from '../content.ts'
import { type Answer, locationOf, type RawConnection } from './raw-connection.ts'

/**
 * `docker`: POST, one chunked PATCH, empty PUT. `monolithic`: POST, PUT with the bytes. `pieces`:
 * POST, a PATCH with Content-Range for each 8 MiB, empty PUT.
 */
export type PushFlow = 'docker' | 'monolithic' | 'pieces'

// Go's HTTP client, and so Docker, frames a streamed body in chunks of io.Copy's 32 KiB.
const CHUNK_BYTES = 32 * 1024
const PIECE_BYTES = 8 * 1024 * 1024
const LAST_CHUNK = Buffer.from('0\r\n\r\n')
const framedBlocks = new WeakMap<Buffer, Buffer>()

function frame(block: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let start = 0; start < block.length; start += CHUNK_BYTES) {
    const chunk = block.subarray(start, start + CHUNK_BYTES)
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}

/** The blocks in chunked framing. Shared blocks are framed once, so this costs a push nothing. */
export function framed(payload: Payload): Buffer[] {
  const last = payload.blocks.at(-1)
  const wire = payload.blocks.map((block) => {
    if (block === last) return Buffer.concat([frame(block), LAST_CHUNK])
    let known = framedBlocks.get(block)
    if (known === undefined) {
      known = frame(block)
      framedBlocks.set(block, known)
    }
    return known
  })
  return wire
}

function expectStatus(answer: Answer, status: number, step: string): void {
  if (answer.status === status) return
  throw new Error(`${step}: ${answer.status}, wanted ${status}: ${answer.body.toString()}`)
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
}

function lengthOf(blocks: readonly Buffer[]): number {
  return blocks.reduce((sum, block) => sum + block.length, 0)
}

function atLast(
  blocks: readonly Buffer[],
  act: (() => Promise<void>) | undefined,
): ((index: number) => Promise<void> | undefined) | undefined {
  if (act === undefined) return undefined
  return (index) => (index === blocks.length - 1 ? act() : undefined)
}

/** The blocks in groups of 8 MiB; blocks divide that, or end a payload. */
function pieces({ blocks }: Payload): Buffer[][] {
  const groups: Buffer[][] = []
  let group: Buffer[] = []
  for (const block of blocks) {
    group.push(block)
    if (lengthOf(group) < PIECE_BYTES) continue
    groups.push(group)
    group = []
  }
  return group.length === 0 ? groups : [...groups, group]
}

/** Gives the last location. */
async function sendPieces(
  connection: RawConnection,
  payload: Payload,
  first: string,
): Promise<string> {
  let location = first
  let from = 0
  for (const piece of pieces(payload)) {
    const size = lengthOf(piece)
    const headers = [
      'Content-Type: application/octet-stream',
      `Content-Length: ${size}`,
      `Content-Range: ${from}-${from + size - 1}`,
    ]
    const patched = await connection.exchange('PATCH', location, headers, piece)
    expectStatus(patched, 202, `PATCH from ${from}`)
    location = locationOf(patched)
    from += size
  }
  return location
}

/**
 * Push one blob and check every status.
 * `beforeLast` holds the body open before its last block. `announce` adds a header with the wire
 * length, which lets the null sink count bytes instead of parsing chunks.
 * Errors: Error naming the step and the answer.
 */
export async function pushBlob(
  connection: RawConnection,
  repository: string,
  payload: Payload,
  flow: PushFlow,
  announce = false,
  beforeLast?: () => Promise<void>,
): Promise<void> {
  const started = await connection.exchange('POST', `/v2/${repository}/blobs/uploads/`, [
    'Content-Length: 0',
  ])
  expectStatus(started, 202, 'POST')
  let location = locationOf(started)
  const type = 'Content-Type: application/octet-stream'
  if (flow === 'docker') {
    const blocks = framed(payload)
    const headers = [type, 'Transfer-Encoding: chunked']
    if (announce) headers.push(`Bench-Wire-Bytes: ${lengthOf(blocks)}`)
    const patched = await connection.exchange(
      'PATCH',
      location,
      headers,
      blocks,
      atLast(blocks, beforeLast),
    )
    expectStatus(patched, 202, 'PATCH')
    location = locationOf(patched)
  }
  if (flow === 'pieces') location = await sendPieces(connection, payload, location)
  const blocks = flow === 'monolithic' ? payload.blocks : []
  const length = `Content-Length: ${lengthOf(blocks)}`
  const put = await connection.exchange(
    'PUT',
    withDigest(location, payload.digest),
    [type, length],
    blocks,
    flow === 'monolithic' ? atLast(blocks, beforeLast) : undefined,
  )
  expectStatus(put, 201, 'PUT')
}
