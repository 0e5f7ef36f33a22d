// `npm run bench -- compare BEFORE.json AFTER.json`: reads two records and says what moved.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { compareRuns, compareTable, failuresOf } from './compare.ts'
import type { RunRecord } from './record.ts'

/** Errors: Error where the file is no record of a run. */
function readRecord(path: string): RunRecord {
  const record = JSON.parse(readFileSync(path, 'utf8')) as Partial<RunRecord>
  if (record.format !== 1 || !Array.isArray(record.results)) {
    throw new Error(`${path} is no record of npm run bench`)
  }
  return record as RunRecord
}

function describe({ revision, machine, date, options }: RunRecord): string {
  const dirty = revision.dirty ? ' and changes' : ''
  const rounds = `${options.rounds} rounds of ${options.seconds} s`
  return `${revision.commit}${dirty}, ${date.slice(0, 10)}, ${machine.cpu}, Node ${machine.node}, ${rounds}`
}

/** Gives the exit code. Errors: Error for a wrong flag or file. */
export function runCompare(args: readonly string[]): 0 | 1 {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'fail-above': { type: 'string' } },
  })
  const [before, after, more] = positionals
  if (before === undefined || after === undefined || more !== undefined) {
    throw new Error('compare takes two files: BEFORE.json AFTER.json')
  }
  const bound = values['fail-above']
  const percent = bound === undefined ? Number.POSITIVE_INFINITY : Number(bound)
  if (bound === '' || !(percent >= 0)) {
    throw new Error(`--fail-above takes a percentage, not ${bound}`)
  }
  const [old, fresh] = [readRecord(before), readRecord(after)]
  const changes = compareRuns(old, fresh)
  if (changes.length === 0) throw new Error('these runs have no scenario in common')
  process.stdout.write(
    `before: ${describe(old)}\nafter:  ${describe(fresh)}\n\n${compareTable(changes)}`,
  )
  const failures = failuresOf(changes, percent)
  if (failures.length > 0) {
    process.stdout.write(`\n${failures.length} fell by more than ${percent} %\n`)
  }
  return failures.length > 0 ? 1 : 0
}
