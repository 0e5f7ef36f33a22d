// The flags of `npm run bench`.

import { parseArgs } from 'node:util'
import { SCENARIOS, SUBJECTS } from './catalogue.ts'
import type { StoreKind, SubjectName } from './contract.ts'

export interface BenchOptions {
  /** Scenario names; all when empty. */
  readonly only: readonly string[]
  /** Subjects to run; all when empty. */
  readonly subjects: readonly SubjectName[]
  /** Store kinds to run; all when empty. */
  readonly stores: readonly StoreKind[]
  readonly rounds: number
  /** Length of one round. */
  readonly seconds: number
  /** Keep-alive connections of the request-rate scenarios. */
  readonly connections: number
  readonly diskDirectory: string | undefined
  readonly quick: boolean
  /** Only the scenarios over TLS. */
  readonly tls: boolean
}

export const HELP: string = `npm run bench -- [flags]
  --only NAME         run this scenario (repeatable)
  --subject NAME      run this subject (repeatable): ${Object.keys(SUBJECTS).join(', ')}
  --store KIND        disk or memory (repeatable)
  --rounds N          interleaved rounds, 1 to 50 (5)
  --seconds N         length of one round, 1 to 60 (3)
  --connections N     connections of request-rate scenarios, 1 to 1024 (32)
  --disk DIRECTORY    where stores on disk go (a temporary directory)
  --quick             2 rounds of 1 s
  --tls               only the scenarios over TLS
Scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}
KEELSON_BIN names another build, KEELSON_BENCH_LOAD=autocannon avoids wrk.
`

function bounded(flag: string, text: string | undefined, fallback: number, most: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new Error(`--${flag} takes a whole number from 1 to ${most}, not ${text}`)
}

function known<T extends string>(
  flag: string,
  given: readonly string[],
  names: readonly T[],
): readonly T[] {
  return given.map((it) => {
    const name = names.find((candidate) => candidate === it)
    if (name === undefined) throw new Error(`--${flag} ${it}: not one of ${names.join(', ')}`)
    return name
  })
}

/** Errors: Error naming the flag. */
export function parseOptions(args: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true, default: [] },
      subject: { type: 'string', multiple: true, default: [] },
      store: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string' },
      disk: { type: 'string' },
      quick: { type: 'boolean', default: false },
      tls: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return 'help'
  const scenarioNames = SCENARIOS.map(({ name }) => name)
  const subjectNames = Object.values(SUBJECTS).map(({ name }) => name)
  return {
    only: known('only', values.only, scenarioNames),
    subjects: known('subject', values.subject, subjectNames),
    stores: known('store', values.store, ['disk', 'memory']),
    rounds: bounded('rounds', values.rounds, values.quick ? 2 : 5, 50),
    seconds: bounded('seconds', values.seconds, values.quick ? 1 : 3, 60),
    connections: bounded('connections', values.connections, 32, 1024),
    diskDirectory: values.disk,
    quick: values.quick,
    tls: values.tls,
  }
}
