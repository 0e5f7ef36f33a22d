// Counts what a run of retention does, and says it to people and programs.

import { StorageError } from '../../storage/error.ts'
import { counted } from '../../telemetry/rough-units.ts'
import type { JobReport } from '../job/contract.ts'
import type { RetentionRule } from './contract.ts'
import type { Verdict } from './judge.ts'

export interface RunOfTally {
  readonly id: string
  readonly dryRun: boolean
  /** Asked to stop before it was done. */
  readonly isCut: boolean
  /** Whether there is anything to go by. */
  readonly hasRules: boolean
  readonly restoreWindowMs: number
}

/** What goes into a checkpoint, so that a run that goes on tells of the whole. */
export interface Counts {
  repositories: number
  /** Of them, those that no rule is about. */
  repositoriesWithoutRules: number
  kept: number
  /** Kept though no rule does. */
  immutable: number
  companions: number
  failed: number
  freed: number
  /** Found free, and pushed, moved or pulled before they could go. */
  changed: number
  manifests: number
}

interface RuleErrors {
  readonly rule: RetentionRule
  readonly error: string
  count: number
}

const faultsMax = 20
const examplesMax = 20

export class Tally {
  readonly counts: Counts
  faults = 0
  readonly #faultTexts = new Set<string>()
  readonly #ruleErrors = new Map<RetentionRule, RuleErrors>()
  readonly #examples: string[] = []

  constructor(before: Partial<Counts> = {}) {
    this.counts = {
      ...{ repositories: 0, repositoriesWithoutRules: 0, kept: 0, immutable: 0, companions: 0 },
      ...{ failed: 0, freed: 0, changed: 0, manifests: 0 },
      ...before,
    }
  }

  kept(kind: Exclude<Verdict['kind'], 'freed'>): void {
    this.counts.kept += 1
    if (kind === 'immutable') this.counts.immutable += 1
    if (kind === 'companion') this.counts.companions += 1
    if (kind === 'failed') this.counts.failed += 1
  }

  freed(repository: string, tag: string): void {
    this.counts.freed += 1
    if (this.#examples.length < examplesMax) this.#examples.push(`${repository}:${tag}`)
  }

  ruleError(rule: RetentionRule, error: string): void {
    const known = this.#ruleErrors.get(rule)
    if (known === undefined) this.#ruleErrors.set(rule, { rule, error, count: 1 })
    else known.count += 1
  }

  /** What was passed over, since it cannot be read. */
  fault(what: string, error: unknown): void {
    const text = `${what}: ${error instanceof Error ? error.message : String(error)}`
    // A repository is read more than once.
    if (this.#faultTexts.has(text)) return
    this.faults += 1
    if (this.#faultTexts.size < faultsMax) this.#faultTexts.add(text)
  }

  /** For `onCorrupt` of the stores. */
  readonly onCorrupt = (error: StorageError): void => this.fault('passed over', error)

  /** Undefined, and a fault, where a record that it needs is corrupt. Errors: all others. */
  async passingOver<T>(what: string, action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action()
    } catch (error) {
      if (!(error instanceof StorageError && error.kind === 'corrupt')) throw error
      this.fault(what, error)
      return undefined
    }
  }

  report(run: RunOfTally): JobReport {
    const { counts, faults } = this
    return {
      ok: faults === 0,
      summary: this.#summary(run),
      details: {
        ...{ run: run.id, dryRun: run.dryRun, isCut: run.isCut, ...counts },
        failingRules: [...this.#ruleErrors.values()].map(({ rule, error, count }) => {
          const { text, place, policy } = rule
          return { policy, rule: text, file: place.file, line: place.line, error, tags: count }
        }),
        ...{ faults, faultTexts: [...this.#faultTexts], examples: this.#examples },
      },
    }
  }

  #summary({ id, dryRun, hasRules, restoreWindowMs }: RunOfTally): string[] {
    if (!hasRules) return ['there is no retention rule: every tag is kept']
    const { repositories, repositoriesWithoutRules, kept, freed, changed, manifests } = this.counts
    const lines = [
      dryRun
        ? `would delete ${counted(freed, 'tag')} and keep ${counted(kept, 'tag')}`
        : `deleted ${counted(freed, 'tag')} and ${counted(manifests, 'manifest')}, kept ${counted(kept, 'tag')}`,
      `looked at ${counted(repositories, 'repository', 'repositories')}, ${repositoriesWithoutRules} of them without rules`,
    ]
    if (changed > 0) lines.push(`${counted(changed, 'tag')} changed meanwhile and stayed`)
    for (const { rule, error, count } of this.#ruleErrors.values()) {
      const { file, line } = rule.place
      lines.push(
        `${file}:${line}: the rule failed for ${counted(count, 'tag')}, and keeps: ${error}`,
      )
    }
    if (this.faults > 0) lines.push(`${counted(this.faults, 'record')} could not be read`)
    lines.push(...this.#faultTexts)
    if (!dryRun && manifests > 0 && restoreWindowMs > 0) {
      lines.push(`what went can be brought back: keelson tag restore, keelson gc restore ${id}`)
    }
    return lines
  }
}
