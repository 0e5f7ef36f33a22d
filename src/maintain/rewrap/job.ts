// Key rotation: the key of each blob is encrypted with the active master key, and no byte of a blob is written again.

import { createHash } from 'node:crypto'
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
  readonly version: 2
  /** Under this name the other keys were marked before the first folder. */
  readonly run: string
  /** Another key begins anew. */
  readonly key: string
  /** What is done: a folder, and all before it. */
  readonly folder: string
  readonly tally: Tally
}

type None = Readonly<Record<string, never>>

const namedMax = 100
const version = 2

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
  const name = resumed?.run ?? nameOf(context.run)
  const run = new RewrapRun(context, sealing, name, resumed?.tally)
  try {
    // Whoever publishes with another key from here on lists it again: no folder has to be looked at twice.
    if (resumed === undefined) await sealing.beginRetiring(name)
    // In this order: what is published meanwhile was rewrapped as it was staged.
    await run.staged()
    await run.blobs(resumed?.folder ?? '')
    // What was begun with another key meanwhile.
    await run.staged({ isAgain: true })
  } catch (error) {
    if (!context.signal.aborted) throw error
    return run.report(false)
  }
  return run.report(true, run.tally.failed === 0 ? await sealing.endRetiring(name) : [])
}

class RewrapRun {
  readonly tally: Tally
  readonly #context: JobContext
  readonly #sealing: BlobSealing
  readonly #name: string

  constructor(context: JobContext, sealing: BlobSealing, name: string, tally: Tally | undefined) {
    this.#context = context
    this.#sealing = sealing
    this.#name = name
    this.tally = tally ?? { rewrapped: 0, current: 0, plain: 0, failed: 0, named: [] }
  }

  async staged({ isAgain = false }: { readonly isAgain?: boolean } = {}): Promise<void> {
    for await (const upload of this.#context.blobs.listStaged()) {
      const rewrap = (): Promise<Rewrapped> => this.#sealing.rewrapStaged(upload)
      await this.#take(`upload ${upload}`, rewrap, isAgain)
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
      const run = this.#name
      const checkpoint: Checkpoint = { version, run, key, folder: folder.digestPrefix, tally }
      if (digests.length > 0) await this.#context.checkpoint(checkpoint)
    }
  }

  /** `needed`: ids, known where nothing has failed. */
  report(isWhole: boolean, needed: readonly string[] = []): JobReport {
    const { rewrapped, current, plain, failed, named } = this.tally
    const key = this.#sealing.activeKey
    const counts = `${rewrapped} rewrapped, ${current} had the active key, ${plain} not encrypted, ${failed} failed`
    const summary = [
      `${isWhole ? '' : 'stopped: '}${counts}`,
      ...named.slice(0, 10).map(({ what, reason }) => `${what}: ${reason}`),
    ]
    const others = needed.filter((id) => id !== key)
    const details = { rewrapped, current, plain, failed, named, key, others }
    if (!isWhole || failed > 0) return { ok: false, summary, details }
    if (others.length === 0) summary.push(`only the key ${key} is needed from now on`)
    else {
      summary.push(`still needed: ${others.join(', ')}`)
      summary.push('a server encrypts with it: restart it with the active key, then run this again')
    }
    return { ok: others.length === 0, summary, details }
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

  async #take(what: string, rewrap: () => Promise<Rewrapped>, isAgain = false): Promise<void> {
    const { pace, progress, signal } = this.#context
    await pace({ items: 1, bytes: 0 })
    signal.throwIfAborted()
    const { tally } = this
    try {
      const result = await rewrap()
      const isCounted = isAgain && result !== 'rewrapped'
      if (result !== 'absent' && !isCounted) tally[result] += 1
    } catch (error) {
      if (!(error instanceof StorageError) || error.kind === 'full') throw error
      this.#fail(what, error.message)
    }
    const done = tally.rewrapped + tally.current + tally.plain + tally.failed
    progress({ phase: 'rewrapping keys', done })
  }
}

/** As the list of keys has it: eight hex digits. */
function nameOf(run: string): string {
  return createHash('sha256').update(run).digest('hex').slice(0, 8)
}

function readCheckpoint(value: unknown, { activeKey }: BlobSealing): Checkpoint | undefined {
  const found = value as Checkpoint | undefined
  return found?.version === version && found.key === activeKey ? found : undefined
}
