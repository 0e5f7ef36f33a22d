// Goal: nobody writes while somebody opens, whoever dies at it. Method: gates on one folder, with processes
// and clocks that the test makes up. Real processes: test/crash/open-storm.test.ts.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { OpenGate } from '../../../src/storage/metadata/lmdb/open-gate.ts'
import type { Sharing } from '../../../src/storage/metadata/lmdb/store-lock.ts'
import { isKind } from '../../contract/metadata/scene.ts'
import { until, within } from '../../support/until.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'

interface GateOptions {
  readonly sharing?: Sharing
  readonly pidNamespace?: string
  readonly waitMaxMs?: number
}

/** A host on whose only store processes open gates; the id of each is its pid. */
class Host {
  readonly path: string
  readonly gone = new Set<number>()
  nowMs = 1_000_000
  #pids = 10

  constructor(path: string) {
    this.path = path
  }

  gate({ sharing = 'shared', pidNamespace = 'pid:[1]', waitMaxMs }: GateOptions = {}): OpenGate {
    const pid = this.#pids++
    const identity = { pid, startTime: '100', bootId: 'boot', pidNamespace }
    const now = (): number => this.nowMs
    const startTimeOf = (asked: number): string => (this.gone.has(asked) ? 'gone' : '100')
    const options = { path: this.path, sharing, identity, now, random: () => '', startTimeOf }
    const holder = { ...identity, id: `${pid}`, sharing, sinceMs: now(), heartbeatMs: now() }
    return new OpenGate(options, holder, waitMaxMs)
  }

  async opened(options?: GateOptions): Promise<OpenGate> {
    const gate = this.gate(options)
    await within('the opening', gate.beginOpening())
    gate.endOpening()
    return gate
  }

  /** Of the gate that was made last. */
  get lastPid(): number {
    return this.#pids - 1
  }

  /** What lies in the folder, without the ids of processes. */
  get files(): readonly string[] {
    return readdirSync(this.path).map((name) => name.split(',')[0]!)
  }
}

function gateTest(title: string, body: (host: Host) => Promise<void>): void {
  test(title, () => withFolder((path) => body(new Host(path))))
}

/** Whether it is settled by now. */
function watch(promise: Promise<void>): { isDone: boolean } {
  const watched = { isDone: false }
  void promise.then(() => {
    watched.isDone = true
  })
  return watched
}

gateTest('who opens waits for who writes, and who would write for who opens', async (host) => {
  const writer = await host.opened()
  assert.equal(writer.beginWrite(), undefined)
  assert.equal(writer.beginWrite(), undefined)
  const opener = host.gate()
  const opening = opener.beginOpening()
  const opened = watch(opening)
  await until('the opener shows', () => host.files.includes('opening'))
  const third = writer.beginWrite()
  assert.ok(third !== undefined)
  const wrote = watch(third)
  writer.endWrite()
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(!opened.isDone, 'one write is under way')
  writer.endWrite()
  await within('the opening', opening)
  const fourth = writer.beginWrite()
  assert.ok(fourth !== undefined && !wrote.isDone)
  opener.endOpening()
  await within('the writes', Promise.all([third, fourth]))
  writer.endWrite()
  writer.endWrite()
  assert.equal(opener.beginWrite(), undefined)
  for (const gate of [writer, opener]) gate.leave()
  assert.deepEqual(host.files, [])
})

gateTest('of many that want to open one at a time does, and none is forgotten', async (host) => {
  let inside = 0
  const gates = Array.from({ length: 9 }, () => host.gate())
  const opened = gates.toReversed().map(async (gate) => {
    await gate.beginOpening()
    assert.equal(inside++, 0)
    for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve))
    inside--
    gate.endOpening()
  })
  await within('all of them', Promise.all(opened))
  for (const gate of gates) gate.leave()
  assert.deepEqual(host.files, [])
})

for (const [held, wanted, isRefused] of [
  ['exclusive', 'exclusive', true],
  ['exclusive', 'shared', true],
  ['shared', 'exclusive', true],
  ['shared', 'shared', false],
] as const) {
  const outcome = isRefused ? 'is refused' : 'may open'
  gateTest(`${wanted} ${outcome} beside ${held}`, async (host) => {
    const holder = await host.opened({ sharing: held })
    const gate = host.gate({ sharing: wanted })
    if (isRefused) await assert.rejects(gate.beginOpening(), isKind('conflict'))
    else await gate.beginOpening()
    gate.leave()
    assert.equal(holder.beginWrite(), undefined)
    holder.leave()
    assert.deepEqual(host.files, [])
  })
}

gateTest('who died while it wrote, opened or waited stops nobody', async (host) => {
  const writer = await host.opened()
  host.gone.add(host.lastPid)
  assert.equal(writer.beginWrite(), undefined)
  const dead = host.gate()
  host.gone.add(host.lastPid)
  await within('an opening beside a dead writer', dead.beginOpening())
  const waiting = host.gate()
  host.gone.add(host.lastPid)
  void waiting.beginOpening().catch(() => {})
  const gate = host.gate()
  assert.equal(host.files.filter((name) => name === 'opening').length, 1)
  await within('an opening beside a dead opener', gate.beginOpening())
  gate.endOpening()
  assert.equal(gate.beginWrite(), undefined)
  gate.leave()
})

gateTest('a sign that a dead opener has left delays writes, and stops none', async (host) => {
  const writer = await host.opened()
  const dead = host.gate()
  await dead.beginOpening()
  const write = writer.beginWrite()
  assert.ok(write !== undefined)
  const wrote = watch(write)
  assert.ok(!wrote.isDone)
  host.gone.add(host.lastPid)
  await within('the write', write)
  writer.endWrite()
  await host.opened()
  assert.equal(writer.beginWrite(), undefined, 'the next opener has removed it')
})

gateTest('in another pid namespace silence is death', async (host) => {
  const far = await host.opened({ pidNamespace: 'pid:[2]' })
  assert.equal(far.beginWrite(), undefined)
  const early = host.gate({ waitMaxMs: 20 })
  await assert.rejects(early.beginOpening(), (error: Error) => {
    assert.ok(isKind('unavailable')(error))
    assert.match(error.message, /process 10 is writing all the time/)
    return true
  })
  early.leave()
  host.nowMs += 25_000
  far.renew()
  host.nowMs += 25_000
  const still = host.gate({ waitMaxMs: 20 })
  await assert.rejects(still.beginOpening(), isKind('unavailable'))
  still.leave()
  host.nowMs += 6_000
  await host.opened()
})

test('a store that is in use is refused before LMDB is opened, and nothing is left', async () => {
  await withFolder(async (path) => {
    for (const [held, wanted] of [
      ['exclusive', 'shared'],
      ['shared', 'exclusive'],
    ] as const) {
      const store = await openLmdbMetadataStore(lmdbOptions(path, { sharing: held }))
      const openRoot = (): never => assert.fail('LMDB is opened')
      const second = openLmdbMetadataStore(lmdbOptions(path, { sharing: wanted, openRoot }))
      await assert.rejects(second, isKind('conflict'))
      await store.close()
      assert.deepEqual(readdirSync(path).toSorted(), ['data.mdb', 'lock.mdb'])
    }
  })
})
