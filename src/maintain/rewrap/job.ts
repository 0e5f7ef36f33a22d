// Key rotation: the key of each blob is encrypted with the active master key, and no byte of a blob is written again.

import type { Digest } from '../../oci/digest.ts'
import type { Stranger } from '../../storage/blob/audit.ts'
import type { BlobSealing, Rewrapped } from '../../storage/blob/contract.ts'
import { StorageError } from '../../storage/error.ts'
import type { Job, JobContext, JobReport } from '../job/contract.ts'

/** Counts of files. */
interface Tally {
  rewrapped: number
  /** Wrapped by the active key before. */
  current: number
  /** Not encrypted. */
  plain: number
  /** What could not be rewrapped: damaged, or of a key that is not there. */
  failed: number
  readonly named: { what: string; reason: string }[]
}

interface Checkpoint {
  readonly version: 1
  /** Another key begins anew. */
  readonly key: string
  /** What is done: a folder, and all before it. */
  readonly folder: string
  readonly tally: Tally
}

type None = Readonly<Record<string, never>>

const namedMax = 100
const version = 1

export function createRewrapJob(): Job<None> {
  return {
    kind: 'rewrap',
    parse: (input) =>
      typeof input === 'object' && input !== null && Object.keys(input).length === 0
        ? { input: {} }
        : { error: 'expected an empty object' },
    rates: () => ({ itemsPerSecond: 0, bytesPerSecond: 0 }),
    isUntimed: () => true,
    run: (_, context) => rewrapAll(context),
  }
}

async function rewrapAll(context: JobContext): Promise<JobReport> {
  const { sealing } = context.blobs
  if (sealing === undefined) {
    const summary = ['nothing is encrypted: there is no [blob_store.fs.encryption]']
    return { ok: false, summary, details: {} }
  }
  const resumed = readCheckpoint(context.resumed, sealing)
  const run = new RewrapRun(context, sealing, resumed?.tally)
  try {
    // In this order: what is published meanwhile was rewrapped as it was staged.
    await run.staged()
    await run.blobs(resumed?.folder ?? '')
  } catch (error) {
    if (!context.signal.aborted) throw error
    return run.report(false)
  }
  if (run.tally.failed === 0) await sealing.retireOthers()
  return run.report(true)
}

class RewrapRun {
  readonly tally: Tally
  readonly #context: JobContext
  readonly #sealing: BlobSealing

  constructor(context: JobContext, sealing: BlobSealing, tally: Tally | undefined) {
    this.#context = context
    this.#sealing = sealing
    this.tally = tally ?? { rewrapped: 0, current: 0, plain: 0, failed: 0, named: [] }
  }

  async staged(): Promise<void> {
    for await (const upload of this.#context.blobs.listStaged()) {
      await this.#take(`upload ${upload}`, () => this.#sealing.rewrapStaged(upload))
    }
  }

  /** `after`: the folder that is done, and all before it. */
  async blobs(after: string): Promise<void> {
    const { audit } = this.#context.blobs
    for (const folder of audit?.folders ?? []) {
      if (folder.digestPrefix <= after) continue
      const digests = (await audit?.list(folder, (stranger) => this.#meet(stranger))) ?? []
      for (const digest of digests) await this.#blob(digest)
      const { tally } = this
      const key = this.#sealing.activeKey
      const checkpoint: Checkpoint = { version, key, folder: folder.digestPrefix, tally }
      if (digests.length > 0) await this.#context.checkpoint(checkpoint)
    }
  }

  report(isWhole: boolean): JobReport {
    const { rewrapped, current, plain, failed, named } = this.tally
    const counts = `${rewrapped} rewrapped, ${current} had the active key, ${plain} not encrypted, ${failed} failed`
    const summary = [
      `${isWhole ? '' : 'stopped: '}${counts}`,
      ...named.slice(0, 10).map(({ what, reason }) => `${what}: ${reason}`),
    ]
    if (isWhole && failed === 0) {
      summary.push(`only the key ${this.#sealing.activeKey} is needed from now on`)
    }
    const details = { rewrapped, current, plain, failed, named, key: this.#sealing.activeKey }
    return { ok: isWhole && failed === 0, summary, details }
  }

  // What cannot be listed may hold blobs of the old key.
  #meet({ kind, place, reason }: Stranger): void {
    if (kind === 'unreadable-file') this.#fail(place, reason ?? 'it cannot be read')
  }

  #fail(what: string, reason: string): void {
    this.tally.failed += 1
    if (this.tally.named.length < namedMax) this.tally.named.push({ what, reason })
  }

  #blob(digest: Digest): Promise<void> {
    return this.#take(digest, () => this.#sealing.rewrap(digest))
  }

  async #take(what: string, rewrap: () => Promise<Rewrapped>): Promise<void> {
    const { pace, progress, signal } = this.#context
    await pace({ items: 1, bytes: 0 })
    signal.throwIfAborted()
    const { tally } = this
    try {
      const result = await rewrap()
      if (result !== 'absent') tally[result] += 1
    } catch (error) {
      if (!(error instanceof StorageError) || error.kind === 'full') throw error
      this.#fail(what, error.message)
    }
    const done = tally.rewrapped + tally.current + tally.plain + tally.failed
    progress({ phase: 'rewrapping keys', done })
  }
}

function readCheckpoint(value: unknown, { activeKey }: BlobSealing): Checkpoint | undefined {
  const found = value as Checkpoint | undefined
  return found?.version === version && found.key === activeKey ? found : undefined
}
