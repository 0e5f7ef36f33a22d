// Upload sessions that nobody goes on with end on their own clock, apart from garbage collection.

import type { UploadId } from '../oci/upload-id.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import type { Registry } from './registry.ts'

const pageSize = 256
const intervalMsMax = 10 * 60 * 1000

/** Remove every session without a request for `expiryMs`, and its staged bytes. Answers how many. */
export async function expireUploads(registry: Registry, expiryMs: number): Promise<number> {
  let after: UploadId | undefined
  let removed = 0
  for (;;) {
    const page = await registry.metadata.listUploads({
      limit: pageSize,
      ...(after === undefined ? {} : { after }),
    })
    for (const record of page) {
      if (await expire(record, registry, expiryMs)) removed += 1
    }
    after = page.at(-1)?.id
    if (after === undefined || page.length < pageSize) return removed
  }
}

async function expire(
  record: UploadRecord,
  registry: Registry,
  expiryMs: number,
): Promise<boolean> {
  if (registry.now() - record.touchedAtMs < expiryMs) return false
  // A body that takes longer than the expiry touches its record only at its end.
  if (registry.uploads.isWriting(record.id)) return false
  if (registry.shared && record.owner !== undefined && registry.isOwnerAlive(record.owner)) {
    return false
  }
  await registry.metadata.removeUpload(record.id)
  registry.uploads.close(record.id)
  await registry.blobs.discard(record.id)
  return true
}

/** Runs `expireUploads` now and then until stopped; at most one run at a time. */
export function startUploadExpiry(
  registry: Registry,
  expiryMs: number,
): { readonly stop: () => Promise<void> } {
  let running: Promise<unknown> = Promise.resolve()
  let isRunning = false
  const run = (): void => {
    if (isRunning) return
    isRunning = true
    running = expireUploads(registry, expiryMs)
      .catch((error: unknown) => registry.onBackgroundFault('expire uploads', error))
      .finally(() => {
        isRunning = false
      })
  }
  const timer = setInterval(run, Math.min(intervalMsMax, Math.max(1000, expiryMs / 4)))
  timer.unref()
  run()
  return {
    stop: async () => {
      clearInterval(timer)
      await running
    },
  }
}
