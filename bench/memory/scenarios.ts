// Memory as scenarios: what the server itself holds at its highest, against the budget of docs/memory.md.

import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { EMPTY, KIB, MIB, oneBlob, REPOSITORY } from '../content.ts'
import type { Edge, Round, RoundContext, Scenario, Server } from '../contract.ts'
import { RawConnection } from '../load/raw-connection.ts'
import { resident } from '../usage.ts'
import { SlowDownload } from './slow-download.ts'
import { SlowUpload } from './slow-upload.ts'
import { holdingsOf, pause, untilGivenBack, watchMemory } from './watch.ts'

const uploads = 256
const declaredBytes = 256 * MIB
const sentBytes = 16 * MIB
const dripBytes = 32 * KIB
const downloads = 1024
const blobBytes = 256 * MIB
const heldMs = 5000
const takeEveryMs = 250
const openedAtOnce = 64
// What may stay: slabs that wait for the next upload, pages that V8 keeps for the next garbage.
const keptBytesMax = 128 * MIB
const backWithinMs = 30_000
// Of a second wave over the first: what a leak of a quarter of its memory would pass.
const grownBytesMax = 48 * MIB
const idleAfterMs = 3000

function figure(bytes: number, beside: string, requests: number, moved: number): Round {
  return {
    ...{ requests, bytes: moved, seconds: 0, latencyMs: undefined },
    ...{ figure: bytes / MIB, driver: `node socket; ${beside}` },
  }
}

function besideText(fileBytes: number): string {
  return `${Math.round(fileBytes / MIB)} MiB of mapped files beside`
}

async function inTurns<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = []
  while (made.length < count) {
    const missing = Math.min(openedAtOnce, count - made.length)
    made.push(...(await Promise.all(Array.from({ length: missing }, make))))
  }
  return made
}

/** Errors: Error where memory, open files or staged files do not come back. */
async function measureUploads(server: Server): Promise<Round> {
  const before = holdingsOf(server.pid)
  const block = Buffer.alloc(MIB, 'keelson')
  const watch = watchMemory(server.pid)
  const all = await inTurns(uploads, () =>
    SlowUpload.begin(server, REPOSITORY, declaredBytes, block),
  )
  let missing = all.length
  let open = (): void => undefined
  const arrived = new Promise<void>((resolve) => {
    open = resolve
  })
  // All of them are under way until the last has sent its share, as slow clients would be.
  const sent = await Promise.all(
    all.map(async (upload) => {
      await upload.send(sentBytes)
      missing -= 1
      if (missing === 0) open()
      return sentBytes + (await upload.drip(dripBytes, arrived))
    }),
  )
  const { anonymousBytes, fileBytes } = watch.stop()
  for (const upload of all) upload.cut()
  const isBack = (holdings: typeof before): boolean =>
    holdings.files <= before.files &&
    holdings.anonymousBytes <= before.anonymousBytes + keptBytesMax
  await untilGivenBack(server.pid, 'after the uploads were cut off', isBack, backWithinMs)
  await cancelAll(
    server,
    all.map(({ location }) => location),
  )
  const moved = sent.reduce((sum, bytes) => sum + bytes, 0)
  return figure(anonymousBytes, besideText(fileBytes), uploads, moved)
}

/** As clients that give up do. Errors: Error where a staged file stays. */
async function cancelAll(server: Server, locations: readonly string[]): Promise<void> {
  const connection = await RawConnection.open(server)
  for (const location of locations) {
    const { status } = await connection.exchange('DELETE', location)
    if (status !== 204) throw new Error(`DELETE of an upload: ${status}`)
  }
  connection.close()
  if (server.blobRoot === undefined) return
  const staging = join(dirname(server.blobRoot), '_keelson', 'uploads')
  if (!existsSync(staging)) throw new Error(`${staging} is not where uploads are staged`)
  const left = readdirSync(staging)
  if (left.length > 0) throw new Error(`${left.length} staged files are left`)
}

interface Wave {
  readonly anonymousBytes: number
  readonly fileBytes: number
  readonly moved: number
}

/** All at once, then cut off. Errors: Error where a download stands still. */
async function waveOfDownloads(
  server: Server,
  path: string,
  { seconds }: RoundContext,
): Promise<Wave> {
  const watch = watchMemory(server.pid)
  const all: SlowDownload[] = []
  // From the first one on: opening all of them may take longer than a client may stand still.
  const timer = setInterval(() => {
    for (const download of all) download.takeMore()
  }, takeEveryMs)
  await inTurns(downloads, async () => {
    all.push(await SlowDownload.begin(server, path))
  })
  await pause(Math.max(heldMs, seconds * 1000))
  clearInterval(timer)
  const { anonymousBytes, fileBytes } = watch.stop()
  const fault = all.find((download) => download.fault !== undefined)?.fault
  const moved = all.reduce((sum, { received }) => sum + received, 0)
  const still = all.filter(({ received }) => received < 2 * dripBytes)
  for (const download of all) download.cut()
  if (fault !== undefined) throw fault
  if (still.length > 0) throw new Error(`${still.length} downloads got next to nothing`)
  return { anonymousBytes, fileBytes, moved }
}

/**
 * Errors: those of a wave; Error where open files or memory do not come back, or where a second wave
 * takes more than the first, on an edge whose memory is back only once V8 collects, which it does not while idle.
 */
async function measureDownloads(
  server: Server,
  path: string,
  context: RoundContext,
  isCollectedLater: boolean,
): Promise<Round> {
  const before = holdingsOf(server.pid)
  const { anonymousBytes, fileBytes, moved } = await waveOfDownloads(server, path, context)
  const isBack = (holdings: typeof before): boolean =>
    // The blob itself stays open for the next reader.
    holdings.files <= before.files + 1 &&
    (isCollectedLater || holdings.anonymousBytes <= before.anonymousBytes + keptBytesMax)
  await untilGivenBack(server.pid, 'after the downloads were cut off', isBack, backWithinMs)
  if (isCollectedLater) {
    const again = await waveOfDownloads(server, path, context)
    const growth = again.anonymousBytes - anonymousBytes
    if (growth > grownBytesMax) {
      throw new Error(`a second wave held ${Math.round(growth / MIB)} MiB more than the first`)
    }
  }
  return figure(anonymousBytes, besideText(fileBytes), downloads, moved)
}

const usual = {
  unit: 'MiB',
  stores: ['disk'],
  references: [],
  // A peak is not a rate: one round on a fresh server says it all.
  warmUp: false,
  roundsMax: 1,
} as const

const idle: Scenario = {
  ...usual,
  name: 'memory-idle',
  asks: 'Resident memory of a server that nobody asks, mapped files included',
  edge: 'plain',
  content: () => EMPTY,
  round: async ({ pid }) => {
    await pause(idleAfterMs)
    const { anonymousBytes, fileBytes } = resident(pid)
    const beside = `${Math.round(anonymousBytes / MIB)} MiB of it its own`
    return figure(anonymousBytes + fileBytes, beside, 0, 0)
  },
  writes: false,
  storeBytesMax: MIB,
  expected: [{ atMost: 120 }],
}

function uploadsOver(name: string, edge: Edge): Scenario {
  return {
    ...{ ...usual, name, edge },
    asks: 'Own memory with 256 uploads of 256 MiB of which 16 MiB came, then cut off',
    content: () => EMPTY,
    round: (server) => measureUploads(server),
    writes: true,
    storeBytesMax: uploads * 2 * sentBytes,
    expected: [{ atMost: 400 }],
  }
}

function downloadsOver(name: string, edge: Edge): Scenario {
  return {
    ...{ ...usual, name, edge },
    asks: 'Own memory with 1,024 slow downloads of 256 MiB',
    content: () => oneBlob(blobBytes),
    round: (server, content, context) => {
      const digest = content.blobs[0]?.digest ?? ''
      const path = `/v2/${content.repository}/blobs/${digest}`
      return measureDownloads(server, path, context, edge === 'mtls')
    },
    writes: false,
    storeBytesMax: blobBytes,
    expected: [{ atMost: 400 }],
  }
}

export const MEMORY: readonly Scenario[] = [
  idle,
  uploadsOver('memory-uploads', 'plain'),
  downloadsOver('memory-downloads', 'plain'),
  uploadsOver('memory-uploads-tls', 'tls'),
  downloadsOver('memory-downloads-tls', 'tls'),
  downloadsOver('memory-downloads-mtls', 'mtls'),
]
