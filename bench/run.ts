// `npm run bench`: every scenario against every reference, a table, and one JSON.

import { superviseChildren } from './children.ts'
import { runGate } from './gate/run.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from './machine.ts'
import { type BenchOptions, HELP, parseOptions } from './options.ts'
import { coverageOf, planOf } from './plan.ts'
import { chart } from './report/chart.ts'
import { runCompare } from './report/compare-files.ts'
import { markdownTable } from './report/markdown.ts'
import { type RunRecord, recordName, writeResult } from './report/record.ts'
import { type ScenarioSummary, summarize } from './report/summary.ts'
import { scenarioTable } from './report/text.ts'
import { NOT_INSTALLED, type RunContext, runScenario, type ScenarioResult } from './runner.ts'
import { findBases } from './workspace.ts'

// Above this, something else was running in the last minute.
const QUIET_LOAD = 0.5

/** An absent reference is no failure; anything else that kept a subject from running is. */
function succeeded({ subjects }: ScenarioResult): boolean {
  return subjects.every(({ name, problem }) => {
    return problem === undefined || (problem === NOT_INSTALLED && name !== 'keelson')
  })
}

/** Memory is a budget and no rate: a busy machine takes no more of it, so what is beyond it is a failure. */
function keepsBudget({ unit, verdicts }: ScenarioSummary): boolean {
  return unit !== 'MiB' || verdicts.every(({ met }) => met)
}

function prepare(options: BenchOptions): RunContext {
  const placement = choosePlacement()
  moveToLoadCore(placement)
  const bases = findBases(options.diskDirectory)
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`)
  }
  say(placement.note)
  return { options, placement, bases, say }
}

async function bench(options: BenchOptions): Promise<boolean> {
  const date = new Date().toISOString()
  const revision = describeRevision()
  const run = prepare(options)
  const { placement } = run
  const machine = describeMachine(run.bases)
  const { loadAverage } = machine
  if (loadAverage > QUIET_LOAD) run.say(`this machine is not quiet: load average ${loadAverage}`)
  const results: ScenarioResult[] = []
  const summaries: ScenarioSummary[] = []
  for (const { scenario, store } of planOf(options)) {
    const result = await runScenario(scenario, store, run)
    results.push(result)
    summaries.push(summarize(result, scenario.expected))
  }
  const { diskDirectory: _, gate: __, ...shown } = options
  const record: RunRecord = {
    ...{ format: 1, date, revision, machine, placement, options: shown, summaries, results },
  }
  process.stdout.write(`\n${summaries.map(scenarioTable).join('\n')}\n${placement.note}\n`)
  const coverage = coverageOf(options)
  const name = recordName(record, coverage)
  const file = writeResult(name, `${JSON.stringify(record, undefined, 1)}\n`)
  if (coverage === 'whole') {
    writeResult('latest.md', markdownTable(record))
    writeResult('latest.svg', chart(record))
  }
  if (coverage === 'tls') writeResult('tls.md', markdownTable(record))
  process.stdout.write(`${file}\n`)
  return results.every(succeeded) && summaries.every(keepsBudget)
}

superviseChildren()
try {
  const [command, ...rest] = process.argv.slice(2)
  const options = command === 'compare' ? command : parseOptions(process.argv.slice(2))
  if (options === 'compare') process.exitCode = runCompare(rest)
  else if (options === 'help') process.stdout.write(HELP)
  else if (options.gate !== undefined) {
    process.exitCode = await runGate(options, options.gate, prepare(options))
  } else if (!(await bench(options))) process.exitCode = 1
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n`)
  process.exitCode = 2
}
