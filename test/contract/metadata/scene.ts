// What every case of the metadata contract starts from: an empty store, names, and shorthands.

import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Descriptor } from '../../../src/oci/descriptor.ts'
import { type Digest, digestOfBytes } from '../../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../src/oci/name.ts'
import { parseTag, type Tag } from '../../../src/oci/tag.ts'
import { newUploadId, type UploadId } from '../../../src/oci/upload-id.ts'
import { StorageError, type StorageErrorKind } from '../../../src/storage/error.ts'
import type {
  ManifestPut,
  MetadataStore,
  UploadRecord,
} from '../../../src/storage/metadata/contract.ts'
import type { MaintenanceStore } from '../../../src/storage/metadata/maintenance.ts'
import type { AuditPage, RecordFault } from '../../../src/storage/metadata/record-audit.ts'
import type { TokenStore } from '../../../src/storage/metadata/token-store.ts'

export type FullStore = MaintenanceStore & TokenStore

export interface MetadataScene {
  readonly store: FullStore
  /** Close and open again, as after a restart of the process; absent where nothing outlives it. */
  readonly reopen?: () => Promise<FullStore>
  /** Closes what is open and removes everything. */
  readonly cleanup: () => Promise<void>
}

export type Check = (title: string, body: (scene: MetadataScene) => Promise<void>) => void

export function checkOn(name: string, open: () => Promise<MetadataScene>): Check {
  return (title, body) => {
    test(`${name}: ${title}`, async () => {
      const scene = await open()
      try {
        await body(scene)
      } finally {
        await scene.cleanup()
      }
    })
  }
}

export const lease = 1_000_000
export const now = 500_000

export function repository(name: string): RepositoryName {
  return parseRepositoryName(name)!
}

export function tag(name: string): Tag {
  return parseTag(name)!
}

/** The digest of some content that is named rather than shown. */
export function digestOf(name: string): Digest {
  return digestOfBytes('sha256', Buffer.from(name))
}

export function sorted<Text extends string>(texts: readonly Text[]): Text[] {
  return [...texts].sort((a, b) => (a < b ? -1 : 1))
}

export const app: RepositoryName = repository('library/app')
export const latest: Tag = tag('latest')

export function link(
  store: MetadataStore,
  digest: Digest,
  options: Partial<Parameters<MetadataStore['linkBlob']>[0]> = {},
): ReturnType<MetadataStore['linkBlob']> {
  const plain = { repository: app, size: 100, leaseUntilMs: lease, quotas: [] }
  return store.linkBlob({ ...plain, ...options, digest })
}

/** A manifest without content in `app`, named by its text. */
export function manifest(name: string, parts: Partial<ManifestPut> = {}): ManifestPut {
  const bytes = parts.bytes ?? Buffer.from(name)
  return {
    repository: app,
    digest: digestOfBytes('sha256', bytes),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    bytes,
    tags: [],
    blobs: [],
    optionalBlobs: [],
    children: [],
    allowMissingBlobs: false,
    allowMissingChildren: false,
    quotas: [],
    isImmutable: never,
    nowMs: now,
    ...parts,
  }
}

/** A manifest that refers to `subject`. */
export function referrer(
  name: string,
  subject: Digest,
  parts: Partial<Descriptor> = {},
): ManifestPut & { readonly descriptor: Descriptor } {
  const put = manifest(name)
  const { mediaType, digest, bytes } = put
  return { ...put, subject, descriptor: { mediaType, digest, size: bytes.length, ...parts } }
}

export function newUpload(): UploadId {
  return newUploadId(randomUUID)
}

export function upload(parts: Partial<UploadRecord> = {}): UploadRecord {
  return {
    id: newUpload(),
    repository: app,
    algorithm: 'sha256',
    offset: 0,
    synced: false,
    bootId: 'boot-1',
    fence: 0,
    startedAtMs: now,
    touchedAtMs: now,
    ...parts,
  }
}

/** For `assert.rejects`. */
export function isKind(kind: StorageErrorKind): (error: unknown) => boolean {
  return (error) => error instanceof StorageError && error.kind === kind
}

export function never(): boolean {
  return false
}

/** Every record is compared with the others, and put right: what was wrong. */
export async function auditAll(
  store: FullStore,
  when: { readonly nowMs: number; readonly leaseUntilMs: number },
): Promise<readonly RecordFault[]> {
  const memory = { held: new Set<Digest>(), rebuilt: new Set<Digest>() }
  const faults: RecordFault[] = []
  for (let next: { from?: string } | undefined = {}; next !== undefined; ) {
    const page = { ...next, ...when, limit: 99, repair: true, memory }
    const found: AuditPage = await store.openAudit().auditRecords(page)
    faults.push(...found.faults)
    next = found.next === undefined ? undefined : { from: found.next }
  }
  return faults
}
