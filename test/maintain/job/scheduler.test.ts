// Goal: what is due runs by itself, once whatever the number of processes, not at the start, and not in a loop
// where it fails. Method: processes on one store, a clock that is moved by hand, and a scripted job.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { JobScheduler, type SchedulerOptions } from '../../../src/maintain/job/scheduler.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { day, fine, Host, type Process, ScriptedJob, untilStopped } from './scene.ts'

const minute = 60_000
const hour = 60 * minute

interface Scheduled {
  readonly process: Process
  readonly scheduler: JobScheduler
}

function scheduled(
  host: Host,
  name: string,
  options: Partial<SchedulerOptions> & { readonly everyMs?: number } = {},
): Scheduled {
  const process = host.process(name)
  const warn = (_fields: object, message: string): number =>
    process.log.push({ level: 'warn', message })
  const scheduler = new JobScheduler({
    ...{ runner: process.runner, counts: process.counts, clock: host.clock },
    every: () => ({ gc: options.everyMs ?? hour }),
    random: () => 0,
    lookMs: minute / 2,
    log: { warn } as unknown as Logger,
    ...options,
  })
  return { process, scheduler }
}

/** When each run began, in minutes since the start. */
function began(job: ScriptedJob, host: Host, run: ScriptedJob['run'] = async () => fine): number[] {
  const first = host.clock.now()
  const times: number[] = []
  job.run = (context) => {
    times.push(Math.floor((host.clock.now() - first) / minute))
    return run(context)
  }
  return times
}

describe('a job that is due', () => {
  test('runs after the first minute, and then every so often', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host)
    scheduled(host, 'one')
    await host.clock.pass(minute - 1)
    assert.deepEqual(times, [])
    await host.clock.pass(4 * hour)
    assert.deepEqual(times, [1, 61, 121, 181])
  })

  test('runs once for all processes', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host)
    for (const name of ['one', 'two', 'three']) scheduled(host, name)
    await host.clock.pass(3 * hour)
    assert.deepEqual(times, [1, 61, 121])
  })

  test('runs somewhat later where chance says so, and processes say the same time before', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host)
    const { scheduler } = scheduled(host, 'one', { random: () => 0.5 })
    const dueMs = scheduler.nextDueMs('gc', undefined)
    assert.equal(dueMs, host.clock.now() + 4 * minute)
    await host.clock.pass(2 * hour)
    assert.deepEqual(times, [4, 67])
  })

  test('does not run where it is switched off, also by a reload, and does again', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host)
    let everyMs = 0
    const { scheduler } = scheduled(host, 'one', { every: () => ({ gc: everyMs }) })
    await host.clock.pass(hour)
    assert.deepEqual([times, scheduler.nextDueMs('gc', undefined)], [[], undefined])
    everyMs = 10 * minute
    await host.clock.pass(15 * minute)
    everyMs = 0
    await host.clock.pass(5 * hour)
    assert.deepEqual(times, [60, 70])
  })

  test('counts runs by hand, but not those of a part', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const { process } = scheduled(host, 'one')
    await host.clock.pass(30 * minute)
    const times = began(job, host)
    await process.runner.start('gc', {})
    await host.clock.pass(59 * minute)
    await process.runner.start('gc', { part: 'a' })
    await host.clock.pass(2 * minute)
    assert.deepEqual(times, [0, 59, 60])
  })

  test('waits for a run that takes longer than its turn', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host, untilStopped)
    for (const name of ['one', 'two']) scheduled(host, name)
    await host.clock.pass(5 * hour)
    assert.deepEqual(times, [1])
  })

  test('goes on with what a process that was killed has left', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host, untilStopped)
    const one = scheduled(host, 'one')
    await host.clock.pass(2 * minute)
    host.kill('one')
    await one.scheduler.close()
    scheduled(host, 'two')
    await host.clock.pass(2 * minute)
    assert.deepEqual(times, [1, 3])
  })
})

describe('a job that was stopped', () => {
  test('by the end of a server goes on after the next start', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host, untilStopped)
    const one = scheduled(host, 'one', { everyMs: 30 * day })
    await host.clock.pass(10 * minute)
    await one.scheduler.close()
    await one.process.runner.close()
    scheduled(host, 'two', { everyMs: 30 * day })
    await host.clock.pass(10 * minute)
    assert.deepEqual(times, [1, 11])
  })

  test('by an operator waits for its turn, a day at most', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host, untilStopped)
    const { process } = scheduled(host, 'one', { everyMs: 30 * day })
    await host.clock.pass(2 * minute)
    process.runner.stop('gc')
    await host.clock.pass(day - minute)
    assert.deepEqual(times, [1])
    await host.clock.pass(2 * minute)
    assert.equal(times.length, 2)
  })
})

describe('a job that fails', () => {
  test('is tried again less and less often, and as before once it has gone through', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    let isBroken = true
    const times = began(job, host, async () => {
      if (isBroken) throw new Error('broken')
      return fine
    })
    for (const name of ['one', 'two']) scheduled(host, name, { everyMs: day })
    await host.clock.pass(2 * day)
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0))
    assert.deepEqual(gaps.slice(0, 9), [1, 2, 4, 8, 16, 32, 64, 128, 256])
    assert.deepEqual(new Set(gaps.slice(9)), new Set([360]))
    isBroken = false
    await host.clock.pass(6 * hour)
    const { length } = times
    await host.clock.pass(day - hour * 7)
    assert.equal(times.length, length)
  })

  test('is tried no more often than it is due, but for a minute', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host, () => Promise.reject(new Error('broken')))
    scheduled(host, 'one', { everyMs: minute })
    await host.clock.pass(10 * minute)
    assert.ok(times.length <= 10, `${times.length} times`)
  })

  test('for want of a clock that can be believed is told of once, and counted', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host)
    const { process } = scheduled(host, 'one')
    await host.clock.pass(2 * minute)
    host.clock.aheadMs = -2 * day
    await host.clock.pass(6 * hour)
    assert.deepEqual(times, [1])
    assert.equal(process.log.filter(({ level }) => level === 'warn').length, 1)
    const refused = process.counts.runs().find(({ labels }) => labels['result'] === 'refused')
    assert.ok((refused?.count ?? 0) >= 4 && (refused?.count ?? 0) < 20)
    // The clock shows again what it did.
    await host.clock.pass(2 * day)
    assert.ok(times.length > 1)
  })

  test('where the store is away is tried again, and the scheduler lives on', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const times = began(job, host)
    let isAway = true
    const readJob = host.metadata.readJob.bind(host.metadata)
    host.metadata.readJob = (kind) => {
      if (isAway) throw new Error('no store')
      return readJob(kind)
    }
    scheduled(host, 'one')
    await host.clock.pass(20 * minute)
    isAway = false
    await host.clock.pass(30 * minute)
    assert.equal(times.length, 1)
  })
})

test('nothing begins after the end', async () => {
  const job = new ScriptedJob()
  const host = new Host(job)
  const times = began(job, host)
  const { scheduler } = scheduled(host, 'one')
  await scheduler.close()
  await host.clock.pass(day)
  assert.deepEqual(times, [])
  assert.equal(host.clock.waiting, 0)
})
