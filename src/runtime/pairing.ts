// Keeps records and blobs together that belong together: where the disk of one of them is not mounted, or another one
// is, nothing is served, and nothing is taken for absent.
//
// Method: an id in a file of each directory. The records say first which one they are about to give, so that a
// start that was cut short is no stranger to the next one.

import { randomUUID } from 'node:crypto'
import { lstat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { Digest } from '../oci/digest.ts'
import { listBlobs } from '../storage/blob/fs/list-tree.ts'
import { readPlaceId, writePlaceId } from '../storage/blob/fs/place-id.ts'
import { dataKey, movedToKey, storeIdKey } from '../storage/blob/keys.ts'
import type { S3BlobStore } from '../storage/blob/s3/store.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'
import type { PostgresMetadataStore } from '../storage/metadata/postgres/store.ts'

/** Beside the files of LMDB. */
const metadataFile = 'blob-store-id'
const pending = 'pending '
// Records that were moved, with blobs that stayed: the first server that opens them takes the blobs over, under a
// new id, and from then on the old records are those of another store.
const moved = /^takes (?<id>\S+) from (?<from>\S+)$/
// Where all of so many are away, so is the disk.
const blobsLookedAt = 100
const recordsPerLook = 500

interface Places {
  readonly ofRecords: PlaceOfRecords
  readonly ofBlobs: PlaceOfBlobs
}

interface PlaceOfBlobs {
  /** As messages have it. */
  readonly name: string
  /** Of its id, as messages have it. */
  readonly idName: string
  /** Which key of the configuration says where they are. */
  readonly key: string
  /** How to make another one of it, as the beginning of a sentence. */
  readonly remedy: string
  read(): Promise<string | undefined>
  /** Where there is an id already it stays. Answers what it is afterwards. */
  write(id: string): Promise<string>
  /** Absent where records cannot be moved beside the blobs. */
  readonly moves?: {
    /** Which id they are to get; undefined where the old records were opened since, or nothing was moved. */
    readTo(): Promise<string | undefined>
    writeTo(id: string): Promise<string>
    forget(): Promise<void>
    /** In place of the id that is there. */
    replace(id: string): Promise<string>
  }
  isAnyThere(digests: readonly Digest[]): Promise<boolean>
  /** Any blob at all. */
  first(): Promise<Digest | undefined>
}

interface PlaceOfRecords {
  /** As messages have it. */
  readonly name: string
  /** Which key of the configuration says where they are. */
  readonly key: string
  read(): Promise<string | undefined>
  /** Answers what it says afterwards. */
  write(id: string, options: { readonly replaced: boolean }): Promise<string>
}

/** A store that keeps the id itself, since it is in no directory. */
export type KeepsPlaceId = Pick<PostgresMetadataStore, 'readPlaceId' | 'writePlaceId'>

/** Undefined where one of them is in memory, or they are elsewhere and not open. */
function placesOf(
  { blobStore, metadataStore }: Config,
  metadata?: (MaintenanceStore | KeepsPlaceId) & Partial<KeepsPlaceId>,
  bucket?: S3BlobStore,
): Places | undefined {
  const ofBlobs = blobStore.kind === 'fs' ? inTree(blobStore.rootDir) : bucket && inBucket(bucket)
  const ofRecords =
    metadataStore.kind === 'lmdb' ? inDirectory(metadataStore.path) : inDatabase(metadata)
  return ofRecords && ofBlobs && { ofRecords, ofBlobs }
}

function inTree(rootDir: string): PlaceOfBlobs {
  const idName = join(rootDir, storeIdKey)
  return {
    ...{ name: rootDir, idName, key: 'blob_store.fs.root_dir' },
    remedy: 'mount its disk, or see that',
    read: () => readPlaceId(idName),
    write: (id) => writePlaceId(idName, id, { replaced: false }),
    moves: movesIn(rootDir, idName),
    isAnyThere: (digests) => isAnyThere(rootDir, digests),
    first: async () => {
      for await (const { digest } of listBlobs(rootDir, sizeOf)) return digest
      return undefined
    },
  }
}

function movesIn(rootDir: string, idName: string): NonNullable<PlaceOfBlobs['moves']> {
  const toName = join(rootDir, movedToKey)
  return {
    readTo: () => readPlaceId(toName),
    writeTo: (id) => writePlaceId(toName, id, { replaced: true }),
    forget: () =>
      unlink(toName).catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      }),
    replace: (id) => writePlaceId(idName, id, { replaced: true }),
  }
}

function inBucket(bucket: S3BlobStore): PlaceOfBlobs {
  const { name } = bucket
  return {
    ...{ name, idName: `${name}${storeIdKey}`, key: 'blob_store.s3', remedy: 'see that' },
    read: () => bucket.readId(storeIdKey),
    write: (id) => bucket.writeId(storeIdKey, id, { replaced: false }),
    moves: {
      readTo: () => bucket.readId(movedToKey),
      writeTo: (id) => bucket.writeId(movedToKey, id, { replaced: true }),
      forget: () => bucket.forgetId(movedToKey),
      replace: (id) => bucket.writeId(storeIdKey, id, { replaced: true }),
    },
    isAnyThere: async (digests) => {
      for (const digest of digests) if ((await bucket.size(digest)) !== undefined) return true
      return false
    },
    first: async () => {
      for await (const { digest } of bucket.list()) return digest
      return undefined
    },
  }
}

function inDirectory(directory: string): PlaceOfRecords {
  const name = join(directory, metadataFile)
  return {
    ...{ name, key: 'metadata_store.lmdb.path' },
    read: () => readPlaceId(name),
    write: (id, options) => writePlaceId(name, id, options),
  }
}

function inDatabase(metadata: Partial<KeepsPlaceId> | undefined): PlaceOfRecords | undefined {
  const { readPlaceId: read, writePlaceId: write } = metadata ?? {}
  if (read === undefined || write === undefined) return undefined
  return {
    ...{ name: 'the table keelson_place', key: 'metadata_store.postgres' },
    read: () => read.call(metadata),
    write: (id, options) => write.call(metadata, id, options),
  }
}

/** Gives both the same id, once the directories can be written. Errors: StorageError. */
export type Pair = () => Promise<void>

/**
 * To be asked before anything is made in the blob store. Answers what is to be done after that.
 * Errors: Error with a message for the operator; StorageError where either cannot be read.
 */
export async function requirePaired(
  config: Config,
  metadata: MaintenanceStore,
  bucket?: S3BlobStore,
): Promise<Pair> {
  const places = placesOf(config, metadata, bucket)
  if (places === undefined) return async () => undefined
  const problem = await problemOf(places)
  if (problem !== undefined) throw new Error(problem)
  const { ofBlobs, ofRecords } = places
  const [records, blobs] = await Promise.all([ofRecords.read(), ofBlobs.read()])
  const move = movedOf(records)
  if (move !== undefined) return () => takeOver(places, move)
  if (records !== undefined && !records.startsWith(pending)) {
    // From here on they are used again, and what was moved from them is out of date.
    return async () => places.ofBlobs.moves?.forget()
  }
  const named = await someBlobs(metadata)
  if (blobs !== undefined && records === undefined && named.length === 0) {
    const digest = await ofBlobs.first()
    if (digest !== undefined) throw new Error(lost(places, digest))
  }
  if (blobs === undefined && named.length > 0 && !(await ofBlobs.isAnyThere(named))) {
    throw new Error(empty(places))
  }
  const id = blobs ?? records?.slice(pending.length) ?? randomUUID()
  return () => pair(places, id)
}

/**
 * Why the two do not belong together, as far as their ids tell and the blobs are on this host. Errors: StorageError
 * where they cannot be read.
 */
export async function pairingProblem(
  config: Config,
  records?: KeepsPlaceId,
): Promise<string | undefined> {
  const places = placesOf(config, records)
  return places && problemOf(places)
}

/**
 * For records that nobody serves yet. Both have the same id when it resolves: that of the blobs where they have one.
 * With `isMoved` the blobs stay those of the records that they came from, until a server opens these.
 * Errors: StorageError; Error where the records belong to others.
 */
export async function pairAnew(
  config: Config,
  records: MaintenanceStore | KeepsPlaceId,
  { isMoved, bucket }: { readonly isMoved: boolean; readonly bucket?: S3BlobStore | undefined },
): Promise<void> {
  const places = placesOf(config, records, bucket)
  if (places === undefined) return
  const { ofBlobs, ofRecords } = places
  const from = await ofBlobs.read()
  const { moves } = ofBlobs
  if (!isMoved || from === undefined || moves === undefined) {
    return pair(places, from ?? randomUUID())
  }
  const id = randomUUID()
  await ofRecords.write(`takes ${id} from ${from}`, { replaced: true })
  await moves.writeTo(id)
}

/**
 * For records that nobody serves yet, with blobs of their own.
 * Errors: StorageError; Error where the blobs have an id that the records do not know.
 */
export async function requireFreeBlobs(
  config: Config,
  records: MaintenanceStore | KeepsPlaceId,
  bucket?: S3BlobStore,
): Promise<void> {
  const places = placesOf(config, records, bucket)
  if (places === undefined) return
  const [known, blobs] = await Promise.all([places.ofRecords.read(), places.ofBlobs.read()])
  const ours = known?.startsWith(pending) ? known.slice(pending.length) : known
  if (blobs !== undefined && blobs !== ours) throw new Error(foreign(places))
}

interface Move {
  readonly id: string
  readonly from: string
}

function movedOf(records: string | undefined): Move | undefined {
  const { id, from } = moved.exec(records ?? '')?.groups ?? {}
  return id === undefined || from === undefined ? undefined : { id, from }
}

// Another process of the same records may do so, too: both write the same.
async function takeOver({ ofBlobs, ofRecords }: Places, { id, from }: Move): Promise<void> {
  if ((await ofBlobs.read()) === from) {
    // Where another process was faster, it is forgotten already.
    const isOutdated = (await ofBlobs.moves?.readTo()) !== id && (await ofBlobs.read()) !== id
    if (isOutdated) throw new Error(outdated(ofBlobs))
    await ofBlobs.moves?.replace(id)
  }
  await ofRecords.write(id, { replaced: true })
  await ofBlobs.moves?.forget()
}

async function problemOf(places: Places): Promise<string | undefined> {
  const { ofBlobs, ofRecords } = places
  const [records, blobs] = await Promise.all([ofRecords.read(), ofBlobs.read()])
  if (records === undefined) return undefined
  const move = movedOf(records)
  if (move !== undefined) {
    if (blobs === undefined) return unmounted(places, move.id)
    return [move.id, move.from].includes(blobs) ? undefined : foreign(places)
  }
  const isPending = records.startsWith(pending)
  const id = isPending ? records.slice(pending.length) : records
  if (blobs === id || (blobs === undefined && isPending)) return undefined
  return blobs === undefined ? unmounted(places, id) : foreign(places)
}

async function pair({ ofBlobs, ofRecords }: Places, id: string): Promise<void> {
  const begun = await ofRecords.write(`${pending}${id}`, { replaced: false })
  // Another process of the same store may have been first.
  const ours = begun.startsWith(pending) ? begun.slice(pending.length) : begun
  const theirs = await ofBlobs.write(ours)
  if (theirs !== ours)
    throw new Error(`${ofBlobs.idName} was just written by another store: start again`)
  await ofRecords.write(ours, { replaced: true })
}

/** A few blobs whose bytes must be there. */
async function someBlobs(metadata: MaintenanceStore): Promise<readonly Digest[]> {
  const page = await metadata.openAudit().listBlobs({ prefix: '', limit: recordsPerLook })
  return page
    .filter(({ record }) => record !== 'unreadable' && record.state === 'live')
    .slice(0, blobsLookedAt)
    .map(({ digest }) => digest)
}

async function isAnyThere(rootDir: string, digests: readonly Digest[]): Promise<boolean> {
  for (const digest of digests) {
    if ((await sizeOf(join(rootDir, dataKey(digest)))) !== undefined) return true
  }
  return false
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).size
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function unmounted({ ofBlobs, ofRecords }: Places, id: string): string {
  const { name, idName, key } = ofBlobs
  return `${name} is not the blob store of these records: ${idName} is not there. ${capital(ofBlobs.remedy)} ${key} is right. If its blobs are lost for good, and shall read as absent until they are pushed again, write ${id}, which ${ofRecords.name} says, to that ${object(ofBlobs)}`
}

function foreign({ ofBlobs, ofRecords }: Places): string {
  const { name, idName, key } = ofBlobs
  const remedy = ofBlobs.remedy.replace('its disk', 'the right disk')
  return `${name} is the blob store of other records: ${idName} has another id than ${ofRecords.name}. ${capital(remedy)} ${key} and ${ofRecords.key} go together. Where they were moved by keelson migrate and a server has opened the new ones, these are the old records`
}

function outdated({ name }: PlaceOfBlobs): string {
  return `the records that these were moved from were used again since, with the blobs of ${name}: what was pushed meanwhile is not here. Empty these records, and run keelson migrate again`
}

function empty({ ofBlobs }: Places): string {
  const { name, idName, key, remedy } = ofBlobs
  return `${name} has none of the blobs that the records name: ${remedy} ${key} is right. If they are lost for good, and shall read as absent until they are pushed again, write a UUID to ${idName}`
}

function lost({ ofBlobs, ofRecords }: Places, digest: Digest): string {
  const { name, idName } = ofBlobs
  return `${name} has blobs, such as ${digest}, and there are no records of them: mount the disk of the records, see that ${ofRecords.key} is right, or restore a backup with --keep-blobs. To begin anew beside them, remove ${idName}`
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}

function object({ key }: PlaceOfBlobs): string {
  return key === 'blob_store.s3' ? 'object' : 'file'
}
