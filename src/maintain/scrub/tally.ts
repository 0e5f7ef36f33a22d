// Counts the findings of a run, over kills too, and says them to people and programs.

import { counted, roughSize } from '../../telemetry/rough-units.ts'
import type { JobReport } from '../job/contract.ts'
import { type Finding, isDamage } from './finding.ts'

// Enough to see what is wrong; the audit log has all that was changed. With what is said around them, they fit into
// the record of a job, which has room for 64 KiB of JSON.
const listedMax = 100
const listedLengthMax = 36_000
const textLengthMax = 250
const waitingListedMax = 50
const waitingLengthMax = 8_000
const peerProblemsMax = 8

export interface TallyState {
  readonly counts: Readonly<Record<string, number>>
  readonly listed: readonly Finding[]
  readonly damage: number
  readonly blobs: number
  readonly bytes: number
  readonly records: number
  readonly waiting: number
  readonly waitingListed: readonly string[]
}

export interface RunOfTally {
  readonly dryRun: boolean
  readonly quick: boolean
  readonly isCut: boolean
  /** Peers that could not be asked, and why. */
  readonly peerProblems: readonly string[]
  readonly notes: readonly string[]
}

export class Tally {
  blobs = 0
  bytes = 0
  records = 0
  /** By `kind outcome`. */
  readonly #counts: Map<string, number>
  readonly #listed: Finding[]
  #damage: number
  #waiting: number
  readonly #waitingListed: string[]
  #listedLength: number
  #waitingLength: number

  constructor(state?: TallyState) {
    this.blobs = state?.blobs ?? 0
    this.bytes = state?.bytes ?? 0
    this.records = state?.records ?? 0
    this.#counts = new Map(Object.entries(state?.counts ?? {}))
    this.#listed = [...(state?.listed ?? [])]
    this.#damage = state?.damage ?? 0
    this.#waiting = state?.waiting ?? 0
    this.#waitingListed = [...(state?.waitingListed ?? [])]
    this.#listedLength = lengthOf(this.#listed)
    this.#waitingLength = lengthOf(this.#waitingListed)
  }

  /** How many there are, so that whoever asks sees whether there are more. */
  get findings(): number {
    let sum = this.#waiting
    for (const count of this.#counts.values()) sum += count
    return sum
  }

  add(finding: Finding, count = 1): void {
    const name = `${finding.kind} ${finding.outcome}`
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count)
    if (isDamage(finding)) this.#damage += count
    const listed = shortened(finding)
    this.#listedLength += lengthOf(listed)
    const hasRoom = this.#listed.length < listedMax && this.#listedLength < listedLengthMax
    if (hasRoom) this.#listed.push(listed)
  }

  /** Out of the way since an earlier run, and still needed. */
  wait(what: string): void {
    this.#waiting += 1
    this.#waitingLength += lengthOf(what)
    const hasRoom =
      this.#waitingListed.length < waitingListedMax && this.#waitingLength < waitingLengthMax
    if (hasRoom) this.#waitingListed.push(what)
  }

  get state(): TallyState {
    return {
      ...{ blobs: this.blobs, bytes: this.bytes, records: this.records },
      counts: Object.fromEntries(this.#counts),
      listed: this.#listed,
      damage: this.#damage,
      waiting: this.#waiting,
      waitingListed: this.#waitingListed,
    }
  }

  report(run: RunOfTally): JobReport {
    const { dryRun, quick, isCut, notes } = run
    const peerProblems = run.peerProblems.slice(0, peerProblemsMax)
    const counts: Record<string, Record<string, number>> = {}
    for (const [name, count] of [...this.#counts].sort()) {
      const [kind = '', outcome = ''] = name.split(' ')
      counts[kind] = { ...counts[kind], [outcome]: count }
    }
    return {
      ok: this.#damage === 0 && this.#waiting === 0,
      summary: this.#summary(run),
      details: {
        ...{ dryRun, quick, stopped: isCut },
        ...{ records: this.records, blobs: this.blobs, bytes: this.bytes },
        findings: counts,
        listed: this.#listed,
        waiting: { count: this.#waiting, listed: this.#waitingListed },
        ...{ peerProblems, notes },
      },
    }
  }

  #summary({ dryRun, quick, isCut, notes, peerProblems }: RunOfTally): string[] {
    const read = quick ? '' : `, ${roughSize(this.bytes)} hashed`
    const scope = `${counted(this.records, 'record')} and ${counted(this.blobs, 'blob')} looked at${read}`
    const by = (outcome: string): number => {
      const names = [...this.#counts].filter(([name]) => name.endsWith(` ${outcome}`))
      return names.reduce((sum, [, count]) => sum + count, 0)
    }
    const all = [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
    const lines = [`${isCut ? 'stopped; so far ' : ''}${scope}`]
    if (all === 0) lines.push('nothing is wrong')
    for (const [name, count] of [...this.#counts].sort()) {
      const [kind = '', outcome = ''] = name.split(' ')
      lines.push(`${count} ${kind}: ${meaning[outcome] ?? outcome}`)
    }
    if (by('quarantined') > 0) {
      lines.push(
        'what is quarantined reads as absent: push it again, or configure a peer that has it',
      )
    }
    if (this.#waiting > 0) {
      const many = 'that were quarantined before are still needed: push them again'
      const one = 'that was quarantined before is still needed: push it again'
      lines.push(counted(this.#waiting, one, many))
    }
    if (dryRun && by('found') > 0) lines.push('nothing was changed: run it without --dry-run')
    return [...lines, ...peerProblems.slice(0, peerProblemsMax), ...notes]
  }
}

const meaning: Readonly<Record<string, string>> = {
  found: 'would be put right or out of the way',
  healed: 'healed with bytes of a peer',
  left: 'for a person to look at',
  quarantined: 'out of the way',
  repaired: 'put right',
}

function lengthOf(value: unknown): number {
  return JSON.stringify(value).length
}

function shortened(finding: Finding): Finding {
  const { reason } = finding
  const what = shown(finding.what)
  return reason === undefined ? { ...finding, what } : { ...finding, what, reason: shown(reason) }
}

// Keys that name credentials by a hash say no more than that.
function shown(text: string): string {
  const whole = /^[fo]!/.test(text) ? `${text.slice(0, 10)}…` : text
  return whole.length > textLengthMax ? `${whole.slice(0, textLengthMax)}…` : whole
}
