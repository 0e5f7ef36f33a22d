// How much of the disk condemned blobs still take, for metrics: it is freed when their restore window is over.

import type { Dropped } from '../../storage/metadata/garbage.ts'
import type { GcRun } from './settings.ts'

// A look takes about a millisecond.
const rowsPerLook = 200

/** Errors: as `context.pace`; StorageError. */
export async function countCondemned({ context, tally }: GcRun): Promise<void> {
  const { metadata, shared } = context
  const left = { count: 0, bytes: 0 }
  let after: Dropped | undefined
  for (;;) {
    if (shared) metadata.refresh()
    const rows = await metadata.listDropped({
      // What cannot be read was told of when it was to be destroyed.
      ...{ limit: rowsPerLook, onCorrupt: () => undefined },
      ...(after === undefined ? {} : { after }),
    })
    for (const { repository, size } of rows) {
      if (repository === undefined) tally.add(left, size)
    }
    after = rows.at(-1)
    if (after === undefined) break
    await context.pace({ items: 0, bytes: 0 })
  }
  tally.left = left
}
