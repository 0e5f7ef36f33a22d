// Goal: a holder counts as alive exactly while it may be. Method: the lock on records in memory, with
// processes, clocks and hosts that the test makes up.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Holder,
  readHolders,
  type Sharing,
  StoreLock,
} from '../../../src/storage/metadata/lmdb/store-lock.ts'
import { MemoryKeyValueStore } from '../../../src/storage/metadata/memory/store.ts'
import type { ProcessIdentity } from '../../../src/storage/process-table.ts'
import { ownIdentity, startTimeOf } from '../../../src/storage/process-table.ts'
import { isKind } from '../../contract/metadata/scene.ts'

const first: ProcessIdentity = { pid: 7, startTime: '100', bootId: 'boot', pidNamespace: 'pid:1' }

interface Host {
  readonly records: MemoryKeyValueStore
  nowMs: number
  processes: Record<number, string | 'gone' | 'unknown'>
}

function newHost(): Host {
  return { records: new MemoryKeyValueStore(), nowMs: 1_000_000, processes: { 7: '100' } }
}

let ids = 0

function lockOn(host: Host, identity: ProcessIdentity, sharing: Sharing = 'exclusive'): StoreLock {
  return new StoreLock({
    path: '/store',
    sharing,
    identity,
    now: () => host.nowMs,
    random: () => `id-${ids++}`,
    startTimeOf: (pid) => host.processes[pid] ?? 'gone',
  })
}

async function acquire(
  host: Host,
  identity: ProcessIdentity,
  sharing?: Sharing,
): Promise<{ readonly lock: StoreLock; readonly dead: readonly Holder[] }> {
  const lock = lockOn(host, identity, sharing)
  const dead = await host.records.write('durable', (transaction) => lock.acquire(transaction))
  return { lock, dead }
}

const second: ProcessIdentity = { ...first, pid: 8, startTime: '200' }

test('a running process holds its store however old its heartbeat is', async () => {
  const host = newHost()
  await acquire(host, first)
  host.nowMs += 3_600_000
  await assert.rejects(acquire(host, second), isKind('conflict'))
})

test('a process that ended is passed over, and so is one whose pid has another process', async () => {
  for (const now of ['gone', '999']) {
    const host = newHost()
    await acquire(host, first)
    host.processes = { 7: now }
    const { dead } = await acquire(host, second)
    assert.deepEqual(
      dead.map(({ pid }) => pid),
      [7],
    )
    assert.deepEqual(
      readHolders(host.records.reader).map(({ pid }) => pid),
      [8],
    )
  }
})

test('a process that hides counts as running', async () => {
  const host = newHost()
  await acquire(host, first)
  host.processes = { 7: 'unknown' }
  await assert.rejects(acquire(host, second), isKind('conflict'))
})

test('a holder from before a restart of the host is dead', async () => {
  const host = newHost()
  await acquire(host, first)
  const { dead } = await acquire(host, { ...second, bootId: 'next boot' })
  assert.equal(dead.length, 1)
})

test('in another pid namespace the heartbeat decides', async () => {
  const host = newHost()
  const { lock } = await acquire(host, first)
  const stranger = { ...second, pidNamespace: 'pid:2' }
  host.processes = {}
  host.nowMs += 29_999
  await assert.rejects(acquire(host, stranger), isKind('conflict'))
  await host.records.write('durable', (transaction) => lock.renew(transaction))
  host.nowMs += 29_999
  await assert.rejects(acquire(host, stranger), isKind('conflict'))
  host.nowMs += 1
  const { dead } = await acquire(host, stranger)
  assert.equal(dead.length, 1)
})

test('a clock that went back kills nobody', async () => {
  const host = newHost()
  await acquire(host, first)
  host.nowMs -= 3_600_000
  await assert.rejects(acquire(host, { ...second, pidNamespace: 'pid:2' }), isKind('conflict'))
})

test('a holder that was taken over is told so at its next write', async () => {
  const host = newHost()
  const { lock } = await acquire(host, first)
  lock.check(host.records.reader)
  host.nowMs += 60_000
  const rival = await acquire(host, { ...second, pidNamespace: 'pid:2' })
  assert.throws(() => lock.check(host.records.reader), isKind('unavailable'))
  rival.lock.check(host.records.reader)
})

test('holders that share leave one after the other', async () => {
  const host = newHost()
  host.processes = { 7: '100', 8: '200' }
  const one = await acquire(host, first, 'shared')
  const two = await acquire(host, second, 'shared')
  await assert.rejects(acquire(host, { ...first, pid: 9 }), isKind('conflict'))
  await host.records.write('durable', (transaction) => one.lock.release(transaction))
  two.lock.check(host.records.reader)
  assert.throws(() => one.lock.check(host.records.reader), isKind('unavailable'))
  await host.records.write('durable', (transaction) => two.lock.release(transaction))
  assert.deepEqual(readHolders(host.records.reader), [])
})

test('a lock record that cannot be read lets nobody in', async () => {
  for (const text of ['', '{}', '{"holders":[1]}', '{"holders":[{"id":"x","sharing":"?"}]}']) {
    const host = newHost()
    await host.records.write('durable', (transaction) => transaction.put('s!lock', text))
    await assert.rejects(acquire(host, first), isKind('corrupt'), text)
  }
})

test('this process knows itself, and that a pid without a process is gone', () => {
  const own = ownIdentity()
  assert.equal(startTimeOf(process.pid), own.startTime)
  assert.match(own.startTime, /^\d+$/)
  assert.match(own.bootId, /^[0-9a-f-]{36}$/)
  assert.match(own.pidNamespace, /^pid:\[\d+\]$/)
  // Above the largest pid that Linux gives.
  assert.equal(startTimeOf(2 ** 22 + 1), 'gone')
})
