// POST …/blobs/uploads/: a new session, a whole blob in one request, or a mount.

import type { Reply } from '../http/reply.ts'
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestOfBytes } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/name.ts'
import { newUploadId } from '../oci/upload-id.ts'
import type { Action } from '../route/action.ts'
import { StorageError } from '../storage/error.ts'
import type { MaybePromise, UploadRecord } from '../storage/metadata/contract.ts'
import { requireRoom } from './blob-room.ts'
import { requireDiskRoom } from './disk-room.ts'
import { dropSession } from './drop-session.ts'
import { receiveAndCommit } from './finish-upload.ts'
import { keepAlive } from './pull-blob.ts'
import { requireRepository } from './push-validation.ts'
import type { OperationRequest, Registry } from './registry.ts'
import { quotaRefusal } from './rule-refusal.ts'
import { blobCreatedReply, sessionReply } from './upload-reply.ts'

type StartUpload = Extract<Action, { kind: 'start-upload' }>
type MountBlob = Extract<Action, { kind: 'mount-blob' }>

/** Whether the caller may pull a blob from a repository: a mount copies what it names. */
export type MayPull = (repository: RepositoryName, digest: Digest) => MaybePromise<boolean>

// Repositories tried for a mount that names no source.
const mountSourcesMax = 32
const noBytes = new Uint8Array(0)

/**
 * Source: distribution-spec end-4a, end-4b. Errors: OciError TOOMANYREQUESTS, DIGEST_INVALID,
 * CONTENT_TOO_LARGE; STORAGE_FULL where the disk is down to its reserve; DENIED for a name that is not valid here; QuotaRefusal where nothing that may follow
 * could fit.
 */
export async function startUpload(
  action: StartUpload,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  const { repository, digest } = action
  requireRepository(registry.rules.rulesFor(repository).validations, repository)
  if (digest === undefined || isOnlyAnAnnouncement(digest, request)) {
    await requireRoom(repository, digest, 1, registry)
    requireDiskRoom(registry, 0)
    return sessionReply(registry, await openSession(repository, action.algorithm, registry))
  }
  const bytes = request.body.length ?? 0
  await requireRoom(repository, digest, bytes, registry)
  requireDiskRoom(registry, bytes)
  let record = await openSession(repository, digestAlgorithm(digest), registry)
  // Nobody else knows the session; this keeps it from expiring under a body that takes its time.
  const writer = await registry.uploads.write(record.id)
  try {
    record = (await claimed(record, registry)) ?? record
    return await receiveAndCommit(record, digest, request, registry)
  } catch (error) {
    // The client never learned the session's name, so nobody could go on with it.
    const dropping = dropSession(record, registry)
    // What is away would be waited for once more.
    if (!isAway(error)) await dropping
    throw asOwnFault(error)
  } finally {
    writer.end()
  }
}

// In a shared store the record has no owner yet, and only an owner may end a session.
async function claimed(
  { id }: UploadRecord,
  registry: Registry,
): Promise<UploadRecord | undefined> {
  if (!registry.shared) return undefined
  return registry.metadata.claimUpload(id, registry.owner(), registry.now(), () => false)
}

/** Nobody else knows the session: where it is not ours any more, this server's lease has ended meanwhile. */
function asOwnFault(error: unknown): unknown {
  if (!(error instanceof StorageError && error.kind === 'conflict')) return error
  return new StorageError('unavailable', `a push in one request: ${error.message}`, error)
}

function isAway(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'unavailable'
}

// Some clients put the digest on the POST and the bytes in a PUT. Without a body, only the empty blob
// can be meant to be whole already.
function isOnlyAnAnnouncement(digest: Digest, request: OperationRequest): boolean {
  return request.body.length === 0 && digest !== digestOfBytes(digestAlgorithm(digest), noBytes)
}

/**
 * Source: distribution-spec end-11. What cannot be mounted, or the caller may not pull from there,
 * becomes an ordinary session (202), which does not tell one from the other.
 * Errors: OciError TOOMANYREQUESTS; STORAGE_FULL, unless the repository holds the blob; DENIED for a name
 * that is not valid here; QuotaRefusal.
 */
export async function mountBlob(
  action: MountBlob,
  registry: Registry,
  mayPull: MayPull,
): Promise<Reply> {
  const { repository, digest } = action
  requireRepository(registry.rules.rulesFor(repository).validations, repository)
  if (await isHeldOrMounted(action, registry, mayPull))
    return blobCreatedReply(registry, repository, digest)
  await requireRoom(repository, digest, 1, registry)
  return sessionReply(registry, await openSession(repository, action.algorithm, registry))
}

async function isHeldOrMounted(
  action: MountBlob,
  registry: Registry,
  mayPull: MayPull,
): Promise<boolean> {
  const { metadata, rules } = registry
  const { repository, digest } = action
  const { quotas } = rules.rulesFor(repository)
  const link = await metadata.readBlob(repository, digest)
  if (link !== undefined && (await keepAlive(action, link, registry))) return true
  requireDiskRoom(registry, 0)
  const sources =
    action.from === undefined
      ? await metadata.repositoriesHolding(digest, mountSourcesMax)
      : [action.from]
  for (const source of sources) {
    if (!(await mayPull(source, digest))) continue
    const leaseUntilMs = registry.now() + registry.limits.graceMs
    const result = await metadata.mountBlob(source, repository, digest, leaseUntilMs, quotas)
    if (result === 'mounted') return true
    if (result !== 'absent') throw quotaRefusal(result)
  }
  return false
}

async function openSession(
  repository: RepositoryName,
  algorithm: DigestAlgorithm,
  registry: Registry,
): Promise<UploadRecord> {
  const id = newUploadId(registry.randomUuid)
  const now = registry.now()
  const record: UploadRecord = {
    id,
    repository,
    algorithm,
    offset: 0,
    synced: false,
    bootId: registry.bootId,
    // Alone on the store we keep our sessions; otherwise the next request may reach another process.
    ...(registry.shared ? {} : { owner: registry.owner() }),
    fence: 1,
    startedAtMs: now,
    touchedAtMs: now,
  }
  if (registry.uploads.isFull) await forgetEnded(registry)
  registry.uploads.open(id)
  try {
    await registry.metadata.createUpload(record)
  } catch (error) {
    registry.uploads.close(id)
    throw error
  }
  return record
}

// Sessions that were begun here and ended in another process are still counted here.
async function forgetEnded({ metadata, uploads }: Registry): Promise<void> {
  for (const id of uploads.idleToCheck()) {
    if ((await metadata.readUpload(id)) === undefined) uploads.close(id)
  }
}
