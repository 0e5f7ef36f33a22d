// Counts what a run of garbage collection does, and says it to people and programs.

import type { Digest } from '../../oci/digest.ts'
import { StorageError } from '../../storage/error.ts'
import { counted, roughSize } from '../../telemetry/rough-units.ts'
import type { JobReport } from '../job/contract.ts'

/** Units: `bytes`. */
export interface Amount {
  count: number
  bytes: number
}

export interface RunOfTally {
  readonly id: string
  readonly dryRun: boolean
  /** Asked to stop before it was done. */
  readonly isCut: boolean
}

// Enough to see what is wrong or meant; the audit log has the rest.
const faultsMax = 20
const examplesMax = 20

export class Tally {
  /** Blobs that nobody can read any more. */
  readonly condemned: Amount = none()
  /** Holds of repositories on blobs that others hold, too. */
  readonly unlinked: Amount = none()
  /** Leases that turned out to be renewed. */
  kept = 0
  readonly removed: Amount = none()
  /** Manifests that a sweep found unused for the first time. */
  marked = 0
  readonly forgotten: Amount = none()
  /** Blobs that a killed run had begun to destroy. */
  readonly finished: Amount = none()
  readonly destroyed: Amount = none()
  readonly overwritten: Amount = none()
  /** Files that were not overwritten, since they have other names. */
  readonly hardLinked: Amount = none()
  faults = 0
  /** When the first of what was taken away can be destroyed, since 1970. */
  restorableUntilMs: number | undefined
  /** Condemned, and on the disk still; undefined where it was not counted to the end. */
  left: Amount | undefined
  readonly #faultTexts: string[] = []
  readonly #skipped = new Set<string>()
  readonly #examples: { readonly what: string; readonly digest: Digest }[] = []

  add(to: Amount, bytes: number): void {
    to.count += 1
    to.bytes += bytes
  }

  example(what: string, digest: Digest): void {
    if (this.#examples.length < examplesMax) this.#examples.push({ what, digest })
  }

  /** A part of the run that does not happen, and why. */
  skip(why: string): void {
    this.#skipped.add(why)
  }

  /** What was passed over, since it cannot be read or removed. */
  fault(what: string, error: unknown): void {
    this.faults += 1
    if (this.#faultTexts.length >= faultsMax) return
    this.#faultTexts.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  }

  /** For `onCorrupt` of the stores. */
  readonly onCorrupt = (error: StorageError): void => this.fault('passed over', error)

  /** What is taken away now can be brought back for so long. */
  restorable(untilMs: number): void {
    this.restorableUntilMs ??= untilMs
  }

  report(run: RunOfTally): JobReport {
    const { condemned, destroyed, finished, forgotten, hardLinked, kept, marked } = this
    const { overwritten, removed, unlinked, faults, left, restorableUntilMs } = this
    return {
      ok: faults === 0,
      summary: this.#summary(run),
      details: {
        ...{ run: run.id, dryRun: run.dryRun, isCut: run.isCut },
        ...{ condemned, unlinked, kept, removed, marked, forgotten },
        ...{ finished, destroyed, overwritten, hardLinked },
        ...{ skipped: [...this.#skipped], faults, faultTexts: this.#faultTexts },
        examples: this.#examples,
        ...(restorableUntilMs === undefined
          ? {}
          : { restorableUntil: shownTime(restorableUntilMs) }),
        ...(left === undefined ? {} : { left }),
      },
      ...(left === undefined
        ? {}
        : { figures: { condemnedBlobs: left.count, condemnedBytes: left.bytes } }),
    }
  }

  #summary({ id, dryRun }: RunOfTally): string[] {
    const lines = this.#deeds().map(([did, would, amount, what]) => {
      return `${dryRun ? would : did} ${shownCount(amount.count, what)}, ${roughSize(amount.bytes)}`
    })
    const { count, bytes } = this.#takenAway()
    if (!dryRun && count > 0 && this.restorableUntilMs !== undefined) {
      const until = shownTime(this.restorableUntilMs)
      lines.push(`until ${until} ${roughSize(bytes)} can be brought back: keelson gc restore ${id}`)
    }
    if (lines.length === 0) lines.push(dryRun ? 'nothing would be done' : 'nothing was to be done')
    lines.push(...this.#skipped, ...this.#faultTexts)
    const untold = this.faults - this.#faultTexts.length
    if (untold > 0) lines.push(`and ${counted(untold, 'fault')} more`)
    return lines
  }

  #takenAway(): Amount {
    const { condemned, removed, unlinked } = this
    return {
      count: condemned.count + removed.count + unlinked.count,
      bytes: condemned.bytes + removed.bytes,
    }
  }

  #deeds(): readonly Deed[] {
    const all: readonly Deed[] = [
      ['finished destroying', 'would finish destroying', this.finished, 'blob'],
      ['condemned', 'would condemn', this.condemned, 'blob'],
      ['unlinked', 'would unlink', this.unlinked, 'blob that other repositories hold'],
      ['deleted', 'would delete', this.removed, 'unused manifest'],
      ['destroyed', 'would destroy', this.destroyed, 'blob'],
      ['forgot', 'would forget', this.forgotten, 'deleted manifest'],
      ['overwrote', 'would overwrite', this.overwritten, 'file'],
      ['did not overwrite', 'would not overwrite', this.hardLinked, 'file that has other names'],
    ]
    return all.filter(([_did, _would, { count }]) => count > 0)
  }
}

type Deed = readonly [did: string, would: string, amount: Amount, what: string]

function none(): Amount {
  return { count: 0, bytes: 0 }
}

/** Such as `1 blob`, `2 blobs`, `2 unused manifests` and `2 blobs that others hold`. */
function shownCount(count: number, what: string): string {
  return `${count} ${count === 1 ? what : what.replace(/\b(blob|file|manifest)\b/, '$1s')}`
}

/** What may be reported and passed over, unlike a store that does not answer. */
export function isCorrupt(error: unknown): error is StorageError {
  return error instanceof StorageError && error.kind === 'corrupt'
}

/** ISO 8601, to the second. Units: milliseconds since 1970. */
export function shownTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')
}
