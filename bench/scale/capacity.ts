// What a host can do at most by each of its parts, from measured service times: the least of them decides.

import { measured } from './measured.ts'

/** Bytes per second, but for `cores`. */
export interface Host {
  readonly name: string
  readonly cores: number
  readonly nic: number
  readonly diskRead: number
  readonly diskWrite: number
  /** Seconds for one sync of the disk. */
  readonly sync: number
  /** Memory traffic that the processor can have. */
  readonly memory: number
}

export interface Pull {
  readonly imageBytes: number
  readonly requests: number
  readonly connections: number
  readonly tls: boolean
  /** Of the bytes, what comes from the page cache. */
  readonly cached: number
  /** The client is sent elsewhere for blobs. */
  readonly redirect: boolean
}

export interface Push {
  readonly imageBytes: number
  readonly requests: number
}

/** By part, how many per second it can do; Infinity where it has no share in it. */
export type Capacity = ReadonlyMap<string, number>

const microsecond = 1e-6
const gigabyte = 1e9
// A page read from its cache and written to a socket buffer is read and written twice, and the card
// reads it once more. TLS reads and writes it once more.
const memoryPassesPlain = 5
const memoryPassesTls = 7
// Images that one sync of the metadata store covers, at most: pushes that wait for it together.
const imagesPerSync = 64
// Ethernet, IP and TCP headers of a full frame of 1,500 bytes.
const goodput = 1448 / 1538

/** Seconds of CPU. */
export function pullCpu(pull: Pull): number {
  const { tls, requests, connections, imageBytes, redirect } = pull
  const request = measured(tls ? 'requestTls' : 'requestPlain') * microsecond
  // TLS was measured where one process owns the store; the look at a shared one comes on top.
  const look = tls ? measured('sharedLook') * microsecond : 0
  const handshakes = tls ? connections * measured('handshake') * microsecond : 0
  const bytes = redirect ? 0 : imageBytes
  const sent = (bytes / gigabyte) * measured(tls ? 'blobTls' : 'blobPlain')
  return requests * (request + look) + handshakes + sent
}

export function pullCapacity(host: Host, pull: Pull): Capacity {
  const { imageBytes, tls, cached, redirect } = pull
  const bytes = redirect ? 0 : imageBytes
  const passes = tls ? memoryPassesTls : memoryPassesPlain
  return new Map([
    ['cores', host.cores / pullCpu(pull)],
    ['network', (host.nic * goodput) / bytes],
    ['memory bus', host.memory / (bytes * passes)],
    ['disk', host.diskRead / (bytes * (1 - cached))],
  ])
}

export function pushCapacity(host: Host, push: Push): Capacity {
  const hashed = (push.imageBytes / gigabyte) * measured('pushedBytes')
  const cpu = hashed + measured('pushedImage') * microsecond
  const commit = host.sync + imagesPerSync * measured('writerImage') * microsecond
  return new Map([
    ['cores', host.cores / cpu],
    ['network', (host.nic * goodput) / push.imageBytes],
    ['disk', host.diskWrite / push.imageBytes],
    ['writer of metadata', imagesPerSync / commit],
  ])
}

/** Parts in the order in which they are used up. */
export function bottlenecks(capacity: Capacity): readonly (readonly [string, number])[] {
  return [...capacity].sort(([, a], [, b]) => a - b)
}
