// Goal: the paper plan of docs/scale.md says what the model gives, and the model behaves as queues do.
// Method: storms whose end can be told by hand, and the page's block compared with a run.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  bottlenecks,
  type Host,
  type Pull,
  pullCapacity,
  pushCapacity,
} from '../../bench/scale/capacity.ts'
import { MEASURED } from '../../bench/scale/measured.ts'
import { report } from '../../bench/scale/simulate.ts'
import { type Storm, simulateStorm } from '../../bench/scale/storm.ts'
import { randomFrom } from '../support/dice.ts'
import { projectRoot } from '../support/server.ts'

const calm: Storm = {
  ...{ nodes: 10, imageBytes: 1e9, spread: 0, nodeDown: 1e9, nodeUp: 5e8 },
  ...{ source: 2e9, preamble: 0 },
}
const none = (): number => 0

test('one node gets what its own network takes', () => {
  const { p50, last } = simulateStorm({ ...calm, nodes: 1 }, none)
  assert.equal(p50, 1)
  assert.equal(last, 1)
})

test('nodes that begin together share what the registry sends, to the byte', () => {
  const { p50, p99, last, registryBytes } = simulateStorm(calm, none)
  assert.deepEqual(
    [p50, p99, last].map((one) => one.toFixed(9)),
    ['5.000000000', '5.000000000', '5.000000000'],
  )
  assert.equal(registryBytes, 1e10)
})

test('nodes that begin far apart do not feel one another', () => {
  let next = 0
  const { p50, p99 } = simulateStorm({ ...calm, nodes: 5, spread: 100 }, () => next++ / 5)
  assert.ok(Math.abs(p50 - 1) < 1e-9)
  assert.ok(Math.abs(p99 - 1) < 1e-9)
})

test('what comes before the first byte is a part of every pull', () => {
  const { p50 } = simulateStorm({ ...calm, nodes: 1, preamble: 3 }, none)
  assert.equal(p50, 4)
})

test('no byte is lost: the registry is busy for as long as all bytes take', () => {
  const { last } = simulateStorm({ ...calm, nodes: 1000, spread: 1 }, randomFrom(3))
  assert.ok(last >= 500, String(last))
  assert.ok(last < 501.5, String(last))
})

test('twice the nodes take twice the time from the registry, and hardly more from peers', () => {
  const from = (nodes: number, more: object): number =>
    simulateStorm({ ...calm, ...more, nodes, spread: 1 }, randomFrom(5)).last
  const alone = from(4000, {}) / from(2000, {})
  assert.ok(alone > 1.9 && alone < 2.1, String(alone))
  const peers = from(4000, { peerCopies: 3 }) / from(2000, { peerCopies: 3 })
  assert.ok(peers < 1.2, String(peers))
})

test('peers take no more copies than they may from the registry', () => {
  const { registryBytes } = simulateStorm({ ...calm, nodes: 50, peerCopies: 3 }, none)
  assert.equal(registryBytes, 3e9)
})

const host: Host = {
  ...{ name: 'any', cores: 4, nic: 1e9, memory: 1e11 },
  ...{ diskRead: 1e9, diskWrite: 1e9, sync: 1e-3 },
}
const pull: Pull = {
  ...{ imageBytes: 1e8, requests: 10, connections: 3, tls: true, cached: 1, redirect: false },
}

test('a pull that is redirected uses no network, disk or memory bus for its bytes', () => {
  const finite = [...pullCapacity(host, { ...pull, redirect: true })].filter(([, rate]) => {
    return Number.isFinite(rate)
  })
  assert.deepEqual(
    finite.map(([part]) => part),
    ['cores'],
  )
})

test('what is in the page cache needs no disk', () => {
  assert.equal(pullCapacity(host, pull).get('disk'), Number.POSITIVE_INFINITY)
  assert.equal(pullCapacity(host, { ...pull, cached: 0 }).get('disk'), 10)
})

test('with twice the cores a host answers twice as much, until its network is full', () => {
  const small: Pull = { ...pull, imageBytes: 0 }
  const [[part, one] = ['', 0]] = bottlenecks(pullCapacity(host, small))
  const [[, two] = ['', 0]] = bottlenecks(pullCapacity({ ...host, cores: 8 }, small))
  assert.equal(part, 'cores')
  assert.ok(Math.abs(two / one - 2) < 1e-9)
  assert.equal(bottlenecks(pullCapacity({ ...host, cores: 800 }, pull))[0]?.[0], 'network')
})

test('the writer of metadata gains nothing from cores', () => {
  const push = { imageBytes: 1e6, requests: 3 }
  const writer = (cores: number): number | undefined =>
    pushCapacity({ ...host, cores }, push).get('writer of metadata')
  assert.equal(writer(4), writer(64))
})

test('the plan is the same in every run', () => {
  assert.equal(report(), report())
})

test('docs/scale.md quotes what the simulation prints', () => {
  const page = readFileSync(join(projectRoot, 'docs', 'scale.md'), 'utf8')
  const blocks = [...page.matchAll(/^```text\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text)
  const said = report()
  assert.ok(
    blocks.some((block) => block === said),
    'run `node dist/bench/scale/print-plan.js` and put its output into docs/scale.md',
  )
})

interface Summary {
  readonly name: string
  readonly store: string
  readonly subjects: readonly {
    readonly name: string
    readonly cpuPerThousand?: number
    readonly cpuPerGigabyte?: number
  }[]
}

interface Scale {
  readonly growth: readonly {
    readonly name: string
    readonly rows: readonly { readonly work: string; readonly costs: readonly number[] }[]
  }[]
  readonly processes: {
    readonly results: {
      readonly plain: readonly { readonly name: string; readonly cpuMicroseconds: number }[]
    }
  }
  readonly writerMicroseconds: number
}

function readResult(source: string): unknown {
  return JSON.parse(readFileSync(join(projectRoot, source), 'utf8'))
}

/** Of Keelson in a whole run: seconds of CPU for 1,000 requests, or for each GB. */
function costIn(
  source: string,
  scenario: string,
  per: 'cpuPerThousand' | 'cpuPerGigabyte',
): number {
  const { summaries } = readResult(source) as { readonly summaries: readonly Summary[] }
  const summary = summaries.find(({ name, store }) => name === scenario && store === 'disk')
  const found = summary?.subjects.find(({ name }) => name === 'keelson')?.[per]
  return found ?? assert.fail(`${source} has no ${per} of ${scenario}`)
}

function processCost(scale: Scale, wanted: string): number {
  const found = scale.processes.results.plain.find(({ name }) => name === wanted)
  return found?.cpuMicroseconds ?? assert.fail(`${wanted} was not measured`)
}

test('every service time is the one that its result file has', () => {
  const { requestTls, blobPlain, blobTls, handshake, pushedBytes, ...rest } = MEASURED
  const scale = readResult(rest.requestPlain.source) as Scale
  const [tags] = scale.growth.filter(({ name }) => name === 'tags of a repository')
  const push = tags?.rows.find(({ work }) => work === 'push of a small image')
  const shared = processCost(scale, '1 process, shared')
  const expected: readonly (readonly [{ readonly value: number }, number])[] = [
    [requestTls, 1000 * costIn(requestTls.source, 'tls-manifest-get', 'cpuPerThousand')],
    [handshake, 1000 * costIn(handshake.source, 'tls-handshake-full-1.3', 'cpuPerThousand')],
    [blobPlain, costIn(blobPlain.source, 'blob-get-256mib', 'cpuPerGigabyte')],
    [blobTls, costIn(blobTls.source, 'tls-blob-get-256mib', 'cpuPerGigabyte')],
    [pushedBytes, costIn(pushedBytes.source, 'push-256mib-x4', 'cpuPerGigabyte')],
    [rest.requestPlain, shared],
    [rest.sharedLook, shared - processCost(scale, '1 process, exclusive')],
    [rest.pushedImage, push?.costs.at(-1) ?? Number.NaN],
    [rest.writerImage, scale.writerMicroseconds],
  ]
  assert.equal(expected.length, Object.keys(MEASURED).length)
  // Seconds for 1,000 requests are milliseconds for one.
  for (const [{ value }, measured] of expected) {
    assert.ok(Math.abs(value / measured - 1) < 0.005, `${value} where ${measured} was measured`)
  }
})
