// Upload sessions that nobody goes on with end on their own clock, apart from garbage collection.

import type { UploadId } from '../oci/upload-id.ts'
import { StorageError } from '../storage/error.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import { isAbandoned, releaseUnchanged } from './claim-upload.ts'
import { discardStaged } from './drop-session.ts'
import type { Registry } from './registry.ts'

const pageSize = 256
const intervalMsMax = 10 * 60 * 1000

/**
 * Remove every session without a request for `expiryMs`, and its staged bytes; also bytes whose session
 * has ended without them, because of a crash or a fault. Answers how many sessions.
 */
export async function expireUploads(registry: Registry, expiryMs: number): Promise<number> {
  let after: UploadId | undefined
  let removed = 0
  // Staged bytes that these records do not name may be those of a server on the new ones.
  if (registry.metadata.isFrozen?.() === true) return 0
  for (;;) {
    if (registry.shared) registry.metadata.refresh()
    const page = await registry.metadata.listUploads({
      limit: pageSize,
      ...(after === undefined ? {} : { after }),
    })
    for (const record of page) {
      if (await expire(record, registry, expiryMs)) removed += 1
    }
    after = page.at(-1)?.id
    if (after === undefined || page.length < pageSize) break
  }
  await discardOrphans(registry)
  return removed
}

async function expire(
  listed: UploadRecord,
  registry: Registry,
  expiryMs: number,
): Promise<boolean> {
  const { metadata, uploads } = registry
  const isIdle = ({ touchedAtMs }: UploadRecord): boolean => {
    return registry.now() - touchedAtMs >= expiryMs
  }
  // A body that takes longer than the expiry touches its record only at its end.
  if (!isIdle(listed) || uploads.isWriting(listed.id)) return false
  // What we hold and do not write, the store could not be told of.
  const isOurs = listed.owner !== undefined && listed.owner === registry.owner()
  if (!isOurs && !isAbandoned(listed, registry)) return false
  const writer = await uploads.write(listed.id)
  try {
    // A request may have come since the list was made; from here on none can.
    const record = await metadata.readUpload(listed.id)
    if (record !== undefined) {
      const taken = isIdle(record) ? await take(record, registry) : undefined
      if (taken === undefined) return false
      await metadata.removeUpload(taken.id, taken.fence)
    }
    uploads.close(listed.id)
    await discardStaged(listed.id, registry)
    return record !== undefined
  } finally {
    writer.end()
  }
}

/** The session, now ours alone; undefined where somebody has held it since `record` was read. */
async function take(record: UploadRecord, registry: Registry): Promise<UploadRecord | undefined> {
  if (!registry.shared) return record
  const { metadata } = registry
  const owner = registry.owner()
  const now = registry.now()
  const claimed = await metadata
    .claimUpload(record.id, owner, now, (held) => isAbandoned(held, registry))
    .catch(unlessHeld)
  if (claimed === undefined) return undefined
  if (claimed.fence === record.fence + 1) return claimed
  await releaseUnchanged(claimed, registry)
  return undefined
}

function unlessHeld(error: unknown): undefined {
  if (!(error instanceof StorageError && error.kind === 'conflict')) throw error
}

async function discardOrphans(registry: Registry): Promise<void> {
  const { blobs, metadata, shared } = registry
  for await (const id of blobs.listStaged()) {
    if (shared) metadata.refresh()
    // A record is made before the first byte is staged, so one that is absent is gone for good.
    if ((await metadata.readUpload(id)) === undefined) await blobs.discard(id)
  }
}

/** Runs `expireUploads` now and then until stopped; at most one run at a time. `expiryMs` is asked each time. */
export function startUploadExpiry(
  registry: Registry,
  expiryMs: () => number,
): { readonly stop: () => Promise<void> } {
  let running: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const run = (): void => {
    running = expireUploads(registry, expiryMs())
      .catch((error: unknown) => registry.onBackgroundFault('expire uploads', error))
      .finally(schedule)
  }
  const schedule = (): void => {
    if (isStopped) return
    timer = setTimeout(run, Math.min(intervalMsMax, Math.max(1000, expiryMs() / 4)))
    timer.unref()
  }
  run()
  return {
    stop: async () => {
      isStopped = true
      clearTimeout(timer)
      await running
    },
  }
}
