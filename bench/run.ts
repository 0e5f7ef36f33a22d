// `npm run bench`: every scenario against every reference, a table, and one JSON.

import { SCENARIOS } from './catalogue.ts'
import { superviseChildren } from './children.ts'
import type { Scenario, StoreKind } from './contract.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from './machine.ts'
import { type BenchOptions, HELP, parseOptions } from './options.ts'
import { markdownTable } from './report/markdown.ts'
import { type Coverage, type RunRecord, recordName, writeResult } from './report/record.ts'
import { type ScenarioSummary, summarize } from './report/summary.ts'
import { scenarioTable } from './report/text.ts'
import { NOT_INSTALLED, type RunContext, runScenario, type ScenarioResult } from './runner.ts'
import { findBases } from './workspace.ts'

// Above this, something else was running in the last minute.
const QUIET_LOAD = 0.5

function plan(options: BenchOptions): { scenario: Scenario; store: StoreKind }[] {
  const { only, stores, tls } = options
  const isWanted = ({ name, edge }: Scenario): boolean =>
    (only.length === 0 || only.includes(name)) && (!tls || edge !== 'plain')
  return SCENARIOS.filter(isWanted).flatMap((scenario) =>
    scenario.stores
      .filter((store) => stores.length === 0 || stores.includes(store))
      .map((store) => ({ scenario, store })),
  )
}

function coverageOf({ only, subjects, stores, quick, tls }: BenchOptions): Coverage {
  if (quick || only.length + subjects.length + stores.length > 0) return 'partial'
  return tls ? 'tls' : 'whole'
}

/** An absent reference is no failure; anything else that kept a subject from running is. */
function succeeded({ subjects }: ScenarioResult): boolean {
  return subjects.every(({ name, problem }) => {
    return problem === undefined || (problem === NOT_INSTALLED && name !== 'keelson')
  })
}

async function bench(options: BenchOptions): Promise<boolean> {
  const date = new Date().toISOString()
  const revision = describeRevision()
  const placement = choosePlacement()
  moveToLoadCore(placement)
  const bases = findBases(options.diskDirectory)
  const machine = describeMachine(bases)
  const run: RunContext = {
    ...{ options, placement, bases },
    say: (line) => process.stderr.write(`${line}\n`),
  }
  run.say(placement.note)
  const { loadAverage } = machine
  if (loadAverage > QUIET_LOAD) run.say(`this machine is not quiet: load average ${loadAverage}`)
  const results: ScenarioResult[] = []
  const summaries: ScenarioSummary[] = []
  for (const { scenario, store } of plan(options)) {
    const result = await runScenario(scenario, store, run)
    results.push(result)
    summaries.push(summarize(result, scenario.expected))
  }
  const { diskDirectory: _, ...shown } = options
  const record: RunRecord = {
    ...{ format: 1, date, revision, machine, placement, options: shown, summaries, results },
  }
  process.stdout.write(`\n${summaries.map(scenarioTable).join('\n')}\n${placement.note}\n`)
  const coverage = coverageOf(options)
  const name = recordName(record, coverage)
  const file = writeResult(name, `${JSON.stringify(record, undefined, 1)}\n`)
  if (coverage === 'whole') writeResult('latest.md', markdownTable(record))
  if (coverage === 'tls') writeResult('tls.md', markdownTable(record))
  process.stdout.write(`${file}\n`)
  return results.every(succeeded)
}

superviseChildren()
try {
  const options = parseOptions(process.argv.slice(2))
  if (options === 'help') process.stdout.write(HELP)
  else if (!(await bench(options))) process.exitCode = 1
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n`)
  process.exitCode = 2
}
