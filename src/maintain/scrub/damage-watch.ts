// Looks at blobs that a request found damaged, at once and one after the other: what is really lost reads as absent
// from then on, so that whoever has it can push it again.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../oci/digest.ts'
import type { JobContext, JobDeed, JobParts } from '../job/contract.ts'
import { examineBlob } from './examine.ts'
import { Healer } from './heal.ts'
import { PlainBlobAudit } from './plain-audit.ts'
import { isAdopted, type ScrubRun, Unread } from './run.ts'
import { Tally } from './tally.ts'

export interface DamageWatchOptions {
  readonly parts: JobParts
  /** As a scrub reads. Asked each time. */
  readonly settings: () => { readonly rateBytes: number; readonly graceMs: number }
  readonly record: (deed: JobDeed) => void
  /** Told of each one that is looked at. */
  readonly onLook: () => void
  /** Units: ms of a clock that only goes forward. */
  readonly elapsed: () => number
}

// The others are found by the next scrub.
const waitingMax = 256
// One that cannot be read is not read again for each request.
const restMs = 60_000
const rememberedMax = 1024

export class DamageWatch {
  readonly #options: DamageWatchOptions
  readonly #waiting = new Set<Digest>()
  /** When each was looked at. */
  readonly #looked = new Map<Digest, number>()
  readonly #abort = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: DamageWatchOptions) {
    this.#options = options
  }

  /** A reader has found no file, or one of another size. Never throws. */
  look(digest: Digest): void {
    const lookedAt = this.#looked.get(digest)
    const now = this.#options.elapsed()
    const isRecent = lookedAt !== undefined && now - lookedAt < restMs
    // It could not be recorded, and the next scrub finds it.
    if (this.#options.parts.metadata.isFrozen?.() === true) return
    if (isRecent || this.#waiting.size >= waitingMax || this.#abort.signal.aborted) return
    this.#waiting.add(digest)
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  /** Resolves when nothing is looked at. */
  async idle(): Promise<void> {
    await this.#running
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { elapsed, onLook, parts } = this.#options
    for (const digest of this.#waiting) {
      this.#waiting.delete(digest)
      if (this.#abort.signal.aborted) return
      this.#looked.delete(digest)
      this.#looked.set(digest, elapsed())
      const [oldest] = this.#looked.keys()
      if (this.#looked.size > rememberedMax && oldest !== undefined) this.#looked.delete(oldest)
      onLook()
      try {
        await examineBlob(await this.#scrub(), digest)
      } catch (error) {
        if (this.#abort.signal.aborted) return
        // The next scrub finds it again.
        parts.log.warn({ err: error, digest }, 'a damaged blob could not be looked at')
      }
    }
  }

  async #scrub(): Promise<ScrubRun> {
    const { parts, settings } = this.#options
    const audit = parts.metadata.openAudit()
    const context = this.#context()
    const graceMs = (): number => settings().graceMs
    return {
      ...{ context, audit, graceMs, tally: new Tally() },
      input: { dryRun: false, quick: false },
      files: parts.blobs.audit ?? new PlainBlobAudit(parts.blobs),
      memory: { held: new Set(), rebuilt: new Set() },
      unread: new Unread(),
      // Peers are for scrub: a request must not make us ask others.
      healer: new Healer({ context, audit, graceMs, peers: () => [] }),
      isAdopted: () => isAdopted(parts),
      save: async () => {},
      saveLast: async () => {},
    }
  }

  #context(): JobContext {
    const { parts, record, settings } = this.#options
    const { signal } = this.#abort
    return {
      ...parts,
      ...{ run: 'read', signal, resumed: undefined, record },
      progress: () => {},
      requireHeld: () => {},
      checkpoint: async () => {},
      pace: async ({ bytes }) => {
        const { rateBytes } = settings()
        const ms = rateBytes > 0 ? (bytes * 1000) / rateBytes : 0
        await sleep(ms, undefined, { signal })
      },
    }
  }
}
