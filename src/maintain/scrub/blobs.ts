// The pass over the blobs: files and records side by side, in the order of their digests.

import type { Digest } from '../../oci/digest.ts'
import type { BlobFolder, Stranger } from '../../storage/blob/audit.ts'
import type { AuditedBlob } from '../../storage/metadata/record-audit.ts'
import { examineBlob } from './examine.ts'
import { type ScrubRun, tell } from './run.ts'

const recordsPerPage = 500
const strangersListed = 100
// Sorts behind all digests.
const behindAll = '~'

/** `after` is a digest that is done, or the end of a folder. */
export async function scrubBlobs(run: ScrubRun, after = ''): Promise<void> {
  const total = await countBlobs(run)
  for (const folder of run.files.folders) {
    if (endOf(folder) > after) await scrubFolder(run, folder, after, total)
  }
  await run.save({ pass: 'blobs', at: behindAll }, true)
  for (const digest of run.unread.begin()) {
    await run.context.pace({ items: 1, bytes: 0 })
    const before = run.tally.findings
    await examineBlob(run, digest)
    run.unread.settled(digest)
    await run.save({ pass: 'blobs', at: behindAll }, run.tally.findings !== before)
  }
  const beside = new Strangers()
  await run.files.listBeside((stranger) => beside.add(stranger))
  beside.tellAll(run)
}

/** Sorts behind all digests of the folder, which begin alike, and before all others. */
function endOf({ digestPrefix }: BlobFolder): string {
  return `${digestPrefix}~`
}

/** Units: bytes. */
interface Total {
  readonly blobs: number
  readonly bytes: number
}

async function countBlobs({ audit, context }: ScrubRun): Promise<Total> {
  let blobs = 0
  let bytes = 0
  for await (const page of recordPages({ audit, context }, '')) {
    blobs += page.length
    for (const { record } of page) if (record !== 'unreadable') bytes += record.size
  }
  return { blobs, bytes }
}

async function scrubFolder(
  run: ScrubRun,
  folder: BlobFolder,
  after: string,
  total: Total,
): Promise<void> {
  const { context, input, save, tally } = run
  const strangers = new Strangers()
  // What a folder that cannot be listed lacks may be there all the same: each record is looked at by its name.
  const digests = await run.files.list(folder, (found) => strangers.add(found))
  for await (const digest of united(run, folder, digests)) {
    if (digest <= after) continue
    await context.pace({ items: 1, bytes: 0 })
    const before = tally.findings + run.unread.digests.length
    await examineBlob(run, digest)
    tally.blobs += 1
    context.progress({
      phase: input.quick ? 'checking blobs' : 'hashing blobs',
      ...{ done: tally.blobs, total: Math.max(total.blobs, tally.blobs) },
      ...(input.quick
        ? {}
        : { bytes: tally.bytes, bytesTotal: Math.max(total.bytes, tally.bytes) }),
    })
    await save({ pass: 'blobs', at: digest }, tally.findings + run.unread.digests.length !== before)
  }
  strangers.tellAll(run)
  if (strangers.count > 0) await save({ pass: 'blobs', at: endOf(folder) }, true)
}

/** Sorted, each once: with a file, or a record, or both. */
async function* united(
  run: ScrubRun,
  { digestPrefix }: BlobFolder,
  files: readonly Digest[],
): AsyncGenerator<Digest> {
  let at = 0
  for await (const page of recordPages(run, digestPrefix)) {
    for (const { digest } of page) {
      for (; at < files.length; at++) {
        const file = files[at]
        if (file === undefined || file >= digest) break
        yield file
      }
      if (files[at] === digest) at++
      yield digest
    }
  }
  yield* files.slice(at)
}

async function* recordPages(
  { audit, context }: Pick<ScrubRun, 'audit' | 'context'>,
  prefix: string,
): AsyncGenerator<readonly AuditedBlob[]> {
  let after: Digest | undefined
  for (;;) {
    const from = after === undefined ? {} : { after }
    const page = await audit.listBlobs({ prefix, ...from, limit: recordsPerPage })
    yield page
    after = page.at(-1)?.digest
    if (after === undefined || page.length < recordsPerPage) return
    await context.pace({ items: 0, bytes: 0 })
  }
}

/** What is in a folder beside blobs. Told once the folder is done, so that none is told twice after a kill. */
class Strangers {
  count = 0
  readonly #first: Stranger[] = []
  readonly #others = new Map<Stranger['kind'], number>()

  add(stranger: Stranger): void {
    this.count += 1
    if (this.#first.length < strangersListed) this.#first.push(stranger)
    else this.#others.set(stranger.kind, (this.#others.get(stranger.kind) ?? 0) + 1)
  }

  tellAll(run: ScrubRun): void {
    for (const { kind, place, reason } of this.#first) {
      tell(run, { kind, what: place, ...(reason === undefined ? {} : { reason }) }, 'left')
    }
    for (const [kind, count] of this.#others) {
      run.tally.add({ kind, what: 'and more', outcome: 'left' }, count)
    }
  }
}
