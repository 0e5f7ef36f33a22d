// The flags of `npm run bench`.

import { parseArgs } from 'node:util'
import { GROUPS, type GroupName, HEADLINES, SCENARIOS, SUBJECTS } from './catalogue.ts'
import type { StoreKind, SubjectName } from './contract.ts'
import { FLOORS_FILE } from './gate/floors.ts'
import type { GateOptions } from './gate/options.ts'

export interface BenchOptions {
  /** Scenario names; see `planOf` where there are none. */
  readonly only: readonly string[]
  readonly groups: readonly GroupName[]
  /** Every scenario. */
  readonly all: boolean
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
  /** Judge the figures of a floors file in place of a report. */
  readonly gate?: GateOptions
}

const NAMES: string = Object.entries(GROUPS)
  .map(([group, scenarios]) => `  ${group}: ${scenarios.map(({ name }) => name).join(', ')}\n`)
  .join('')

export const HELP: string = `npm run bench -- [flags]
npm run bench -- compare BEFORE.json AFTER.json [--fail-above PERCENT]
Without a flag that chooses: ${HEADLINES.map(({ name }) => name).join(', ')}; on tmpfs only what has a goal there.
  --all               every scenario
  --group NAME        the scenarios of a group (repeatable): ${Object.keys(GROUPS).join(', ')}
  --tls               only the scenarios over TLS
  --only NAME         run this scenario (repeatable)
  --subject NAME      run this subject (repeatable): ${Object.keys(SUBJECTS).join(', ')}
  --store KIND        disk or memory (repeatable)
  --rounds N          interleaved rounds, 1 to 50 (5)
  --seconds N         length of one round, 1 to 60 (3)
  --connections N     connections of request-rate scenarios, 1 to 1024 (32)
  --disk DIRECTORY    where stores on disk go (a temporary directory)
  --quick             2 rounds of 1 s
  --gate              judge the figures of ${FLOORS_FILE}: 0 all hold, 1 one fell, 2 not judged
    --require-all     a reference that is not installed is exit code 2
    --accept          take what is better than accepted into the floors file; 12 --rounds
                      at least, so on a quiet machine
    --reason TEXT     with --accept: why what is worse is taken too
    --floors FILE     another floors file
Scenarios by group:
${NAMES}KEELSON_BIN names another build, KEELSON_BENCH_LOAD=autocannon avoids wrk. KEELSON_BENCH_ZOT,
KEELSON_BENCH_DISTRIBUTION and KEELSON_BENCH_ANGOS name the programs of peers that take part then.
`

function bounded(flag: string, text: string | undefined, fallback: number, most: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new Error(`--${flag} takes a whole number from 1 to ${most}, not ${text}`)
}

function defaultRounds(flags: Readonly<{ quick: boolean; accept: boolean }>): number {
  if (flags.quick) return 2
  return flags.accept ? 12 : 5
}

type GateFlags = Readonly<{ accept: boolean; 'require-all': boolean; gate: boolean }> & {
  readonly reason?: string
  readonly floors?: string
}

function gateOptions(flags: GateFlags): GateOptions | undefined {
  const { accept, reason, floors, 'require-all': requireAll } = flags
  if (!flags.gate && (accept || requireAll || reason !== undefined || floors !== undefined)) {
    throw new Error('--accept, --reason, --require-all and --floors belong to --gate')
  }
  if (!accept && reason !== undefined) throw new Error('--reason belongs to --accept')
  if (reason?.trim() === '') throw new Error('--reason is empty')
  if (!flags.gate) return undefined
  return { floorsFile: floors ?? FLOORS_FILE, accept, reason, requireAll }
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
      group: { type: 'string', multiple: true, default: [] },
      all: { type: 'boolean', default: false },
      subject: { type: 'string', multiple: true, default: [] },
      store: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string' },
      disk: { type: 'string' },
      quick: { type: 'boolean', default: false },
      tls: { type: 'boolean', default: false },
      gate: { type: 'boolean', default: false },
      accept: { type: 'boolean', default: false },
      reason: { type: 'string' },
      'require-all': { type: 'boolean', default: false },
      floors: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return 'help'
  const groupNames = Object.keys(GROUPS) as GroupName[]
  const scenarioNames = SCENARIOS.map(({ name }) => name)
  const gate = gateOptions(values)
  const subjectNames = Object.values(SUBJECTS).map(({ name }) => name)
  return {
    only: known('only', values.only, scenarioNames),
    groups: known('group', values.group, groupNames),
    all: values.all,
    subjects: known('subject', values.subject, subjectNames),
    stores: known('store', values.store, ['disk', 'memory']),
    rounds: bounded('rounds', values.rounds, defaultRounds(values), 50),
    seconds: bounded('seconds', values.seconds, values.quick ? 1 : 3, 60),
    connections: bounded('connections', values.connections, 32, 1024),
    diskDirectory: values.disk,
    quick: values.quick,
    tls: values.tls,
    ...(gate === undefined ? {} : { gate }),
  }
}
