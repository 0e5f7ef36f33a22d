// All that happens to the hosts and to what they share, each with its healing.

import type { Dice } from '../support/dice.ts'
import type { S3Call, S3Manner } from '../support/s3-faults.ts'
import type { HostNode, Part, Site } from './site.ts'
import type { Scope } from './weather.ts'

/** A lease lasts 20 s, and half of the rest is for noticing. */
const beyondLeaseMs = 24_000

export interface Fault {
  readonly name: string
  /** It goes on for so long at least. */
  readonly leastMs: number
  /** Who may fail by it. */
  readonly scope: Scope
  begin(): unknown
  heal(): unknown
}

type Choose = (call: S3Call) => S3Manner | undefined

/** In a random order. `long`: also those that only a long run has time for. */
export function faultsOf(site: Site, dice: Dice, long: boolean): readonly Fault[] {
  const faults = [
    ...site.nodes.flatMap((node) => [killed(node), ...partitions(node)]),
    asleep(dice.pick(site.nodes)),
    ...ofShared(site),
    ...ofBucket(site, dice),
    ...(long ? [withoutRecords(dice.pick(site.nodes), beyondLeaseMs)] : []),
  ]
  const order = new Map(faults.map((fault) => [fault, dice.below(2 ** 31)]))
  return faults.sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
}

function killed(node: HostNode): Fault {
  return {
    ...{ name: `${node.name} killed`, leastMs: 2_000, scope: node.port },
    begin: () => node.kill(),
    heal: () => node.start(),
  }
}

function asleep(node: HostNode): Fault {
  return {
    ...{ name: `${node.name} asleep beyond its lease`, leastMs: beyondLeaseMs, scope: node.port },
    begin: () => node.pause(),
    heal: () => node.resume(),
  }
}

function partitions(node: HostNode): readonly Fault[] {
  return [
    withoutRecords(node, 3_000),
    without(node, 's3', { name: 'S3', leastMs: 3_000, scope: node.port }),
    {
      ...{ name: `${node.name} before a silent S3`, leastMs: 3_000, scope: node.port },
      begin: () => node.ways.s3.behave(() => ({ kind: 'stalls' })),
      heal: () => node.ways.s3.behave(() => undefined),
    },
    without(node, 'redis', { name: 'Redis', leastMs: 1_000, scope: 'none' }),
  ]
}

function withoutRecords(node: HostNode, leastMs: number): Fault {
  const beyond = leastMs < beyondLeaseMs ? '' : ' beyond its lease'
  return without(node, 'postgres', { name: `PostgreSQL${beyond}`, leastMs, scope: node.port })
}

function without(
  node: HostNode,
  part: Part,
  { name, leastMs, scope }: Pick<Fault, 'name' | 'leastMs' | 'scope'>,
): Fault {
  return {
    ...{ name: `${node.name} without ${name}`, leastMs, scope },
    begin: () => node.cutOff(part),
    heal: () => node.reconnect(part),
  }
}

function ofShared({ postgres, redis }: Site): readonly Fault[] {
  return [
    {
      ...{ name: 'Redis killed', leastMs: 1_000, scope: 'none' },
      begin: () => redis.kill(),
      heal: () => redis.start(),
    },
    {
      ...{ name: 'PostgreSQL crashed', leastMs: 2_000, scope: 'all' },
      begin: () => postgres.crash(),
      heal: () => postgres.start(),
    },
  ]
}

function ofBucket(site: Site, dice: Dice): readonly Fault[] {
  const all = (choose: Choose): void => {
    for (const { ways } of site.nodes) ways.s3.behave(choose)
  }
  const heal = (): void => all(() => undefined)
  const isWrite = ({ method }: S3Call): boolean => method !== 'GET' && method !== 'HEAD'
  const chance = dice.fork()
  let endStall: () => void = () => undefined
  return [
    {
      ...{ name: 'S3 stalled', leastMs: 10_000, scope: 'all' },
      begin: () => {
        const until = new Promise<void>((resolve) => {
          endStall = resolve
        })
        all(() => ({ kind: 'is-late', until }))
      },
      // What was sent meanwhile is carried out now, long after its senders have given it up.
      heal: () => {
        heal()
        endStall()
      },
    },
    {
      ...{ name: 'S3 asks half of all to slow down', leastMs: 4_000, scope: 'all' },
      begin: () => {
        const slow = { kind: 'fails', status: 503, code: 'SlowDown' } as const
        all(() => (chance.chance(0.5) ? slow : undefined))
      },
      heal,
    },
    {
      ...{ name: 'S3 cuts bodies', leastMs: 4_000, scope: 'all' },
      begin: () => {
        all(({ method }) => {
          if (method === 'PUT' && chance.chance(0.5)) return { kind: 'cuts-request', after: 1000 }
          if (method === 'GET' && chance.chance(0.3)) return { kind: 'cuts-answer', after: 1000 }
          return undefined
        })
      },
      heal,
    },
    {
      ...{ name: 'S3 silent about what it has done', leastMs: 6_000, scope: 'all' },
      begin: () =>
        all((call) => (isWrite(call) && chance.chance(0.5) ? { kind: 'is-silent' } : undefined)),
      heal,
    },
  ]
}
