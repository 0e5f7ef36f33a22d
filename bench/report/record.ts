// The one JSON that a run leaves behind, and where.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Machine, Placement, Revision } from '../machine.ts'
import type { BenchOptions } from '../options.ts'
import type { ScenarioResult } from '../runner.ts'
import type { ScenarioSummary } from './summary.ts'

export interface RunRecord {
  readonly format: 1
  /** ISO 8601, UTC, when the run began. */
  readonly date: string
  readonly revision: Revision
  readonly machine: Machine
  readonly placement: Placement
  readonly options: Omit<BenchOptions, 'diskDirectory'>
  readonly summaries: readonly ScenarioSummary[]
  readonly results: readonly ScenarioResult[]
}

export const RESULT_DIRECTORY = 'bench/result'

/** What a run covered: every scenario, those over TLS, or less than either. */
export type Coverage = 'whole' | 'tls' | 'partial'

/** Whole runs and those over TLS are kept; version control ignores the suffix of partial ones. */
export function recordName({ date, revision }: RunRecord, coverage: Coverage): string {
  const suffix = coverage === 'whole' ? '' : `-${coverage}`
  return `${date.slice(0, 10)}-${revision.commit}${suffix}.json`
}

/** Gives the path of the file it wrote. */
export function writeResult(name: string, text: string): string {
  mkdirSync(RESULT_DIRECTORY, { recursive: true })
  const path = join(RESULT_DIRECTORY, name)
  writeFileSync(path, text)
  return path
}
