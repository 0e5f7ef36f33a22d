// Counts what a run has done, keeps what it has to tell of, and says so in the end.

import type { Logger } from '../../telemetry/log.ts'
import { counted } from '../../telemetry/rough-units.ts'
import type { JobReport } from '../job/contract.ts'
import type { ImportFault, ImportRequest } from './contract.ts'
import type { Placing } from './place-file.ts'

/** JSON, so that a run that is resumed counts on. */
export interface ImportCounts {
  repositories: number
  /** Tags that were not there. */
  tagsNew: number
  tagsMoved: number
  tagsSame: number
  /** Changed or deleted here since, and left. */
  tagsKept: number
  /** Manifests that were not here, those of tags and of indexes among them. */
  manifests: number
  sparse: number
  faults: number
  layersLeft: number
  blobs: Record<Placing, number>
  bytes: Record<Placing, number>
}

export interface KeptTag {
  readonly repository: string
  readonly tag: string
  readonly reason: string
}

/** What happens to a tag, for a dry run. */
export interface PlannedTag {
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly what: 'new' | 'moves'
}

// A report has room for 64 KiB of JSON; all of it is in the log.
const listBytesMax = 8 << 10

export class ImportTally {
  readonly counts: ImportCounts
  readonly #log: Logger
  readonly #faults = new ShortList<ImportFault>()
  readonly #kept = new ShortList<KeptTag>()
  readonly #planned = new ShortList<PlannedTag>()

  constructor(log: Logger, counts: ImportCounts = noCounts()) {
    this.#log = log
    this.counts = counts
  }

  fault(fault: ImportFault): void {
    this.counts.faults += 1
    this.#faults.add(fault)
    this.#log.warn({ ...fault }, 'not imported')
  }

  kept(kept: KeptTag): void {
    this.counts.tagsKept += 1
    this.#kept.add(kept)
    this.#log.warn({ ...kept }, 'tag left as it is')
  }

  planned(planned: PlannedTag): void {
    this.#planned.add(planned)
  }

  placed(placing: Placing, bytes: number): void {
    this.counts.blobs[placing] += 1
    this.counts.bytes[placing] += bytes
  }

  get bytes(): number {
    const { adopted, cloned, linked, copied } = this.counts.bytes
    return adopted + cloned + linked + copied
  }

  report(
    { from, source, dryRun }: ImportRequest,
    title: string,
    notes: readonly string[],
  ): JobReport {
    const { counts } = this
    return {
      ok: counts.faults === 0,
      summary: [
        ...(dryRun ? [`Dry run: nothing was changed. From ${title}:`] : [`From ${title}:`]),
        ...summaryOf(counts, dryRun),
        ...this.#kept.items.map((each) => `kept ${each.repository}:${each.tag}: ${each.reason}`),
        ...this.#faults.items.map(faultLine),
        ...(this.#faults.left > 0 ? [`… and ${this.#faults.left} more, which are in the log`] : []),
        ...notes,
      ],
      details: {
        ...{ from, source, dryRun, ...counts },
        ...{ faultList: this.#faults.items, keptList: this.#kept.items },
        ...(dryRun ? { plannedList: this.#planned.items } : {}),
      },
    }
  }
}

export function noCounts(): ImportCounts {
  const none = (): Record<Placing, number> => ({ adopted: 0, cloned: 0, linked: 0, copied: 0 })
  return {
    ...{ repositories: 0, tagsNew: 0, tagsMoved: 0, tagsSame: 0, tagsKept: 0, manifests: 0 },
    ...{ sparse: 0, faults: 0, layersLeft: 0, blobs: none(), bytes: none() },
  }
}

function summaryOf(counts: ImportCounts, dryRun: boolean): readonly string[] {
  const { repositories, tagsNew, tagsMoved, tagsSame, tagsKept, manifests } = counts
  const lines = [
    `${counted(repositories, 'repository', 'repositories')}: ${counted(tagsNew, 'tag')} new, ${tagsMoved} moved, ${tagsSame} as they were, ${tagsKept} left since they changed here; ${counted(manifests, 'manifest')} new`,
  ]
  for (const [placing, text] of Object.entries(dryRun ? plannedPlacings : placings)) {
    const blobs = counts.blobs[placing as Placing]
    const bytes = counts.bytes[placing as Placing]
    if (blobs > 0) lines.push(`${counted(blobs, 'blob')} of ${counted(bytes, 'byte')} ${text}`)
  }
  if (counts.sparse > 0) {
    const lacks = counts.sparse === 1 ? 'lacks some of its' : 'lack some of their'
    lines.push(`${counted(counts.sparse, 'index', 'indexes')} ${lacks} images there, too`)
  }
  if (counts.layersLeft > 0) {
    const are =
      counts.layersLeft === 1
        ? 'is named by no manifest there, and was'
        : 'are named by no manifest there, and were'
    lines.push(`${counted(counts.layersLeft, 'blob')} ${are} left`)
  }
  if (counts.faults > 0) lines.push(`${counts.faults} could not be imported:`)
  return lines
}

const placings: Readonly<Record<Placing, string>> = {
  adopted: 'adopted where they lie',
  cloned: 'cloned without copying',
  linked: 'linked without copying',
  copied: 'copied',
}

// What the file system can is seen when it is tried.
const plannedPlacings: Readonly<Partial<Record<Placing, string>>> = {
  adopted: 'would be adopted where they lie',
  copied: 'would be brought, linked or cloned where the file system can',
}

function faultLine({ repository, reference, reason }: ImportFault): string {
  const name = [repository, reference].filter((part) => part !== undefined && part !== '')
  return `not imported ${name.join(' ')}: ${reason}`
}

class ShortList<Item extends object> {
  readonly items: Item[] = []
  left = 0
  #bytes = 0

  add(item: Item): void {
    const bytes = Buffer.byteLength(JSON.stringify(item))
    if (this.#bytes + bytes > listBytesMax) {
      this.left += 1
      return
    }
    this.#bytes += bytes
    this.items.push(item)
  }
}
