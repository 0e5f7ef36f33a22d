// Goal: one run of each kind at a time, that goes on where it was cut, and of which the record tells the truth.
// Method: processes with runners of their own on one store, a clock that is moved by hand, and a scripted job.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JobContext } from '../../../src/maintain/job/contract.ts'
import { clockOf, type History, historyOf, reportOf } from '../../../src/maintain/job/stored.ts'
import { StorageError } from '../../../src/storage/error.ts'
import type { JobRecord } from '../../../src/storage/metadata/job-store.ts'
import { settled } from './fake-clock.ts'
import {
  day,
  fine,
  Host,
  type Process,
  recordOf,
  ScriptedJob,
  started,
  untilStopped,
} from './scene.ts'

function countedRuns({ counts }: Process): readonly unknown[] {
  const some = counts.runs().filter(({ count }) => count > 0)
  return some.map(({ labels, count }) => [labels['result'], count])
}

/** How the scheduled runs went. */
function scheduled(record: JobRecord): Omit<History, 'last'> {
  const { last: _last, ...history } = historyOf(record)
  return history
}

describe('a run', () => {
  test('ends with its report in the record', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const one = host.process('one')
    const { done, run } = await started(one)
    assert.deepEqual(await done, { outcome: 'ok', report: fine })
    const ended = recordOf(host)
    assert.deepEqual([ended.run, ended.owner], [run, undefined])
    const { ok, summary, details, outcome } = reportOf(ended)!
    assert.deepEqual({ ok, summary, details }, fine)
    assert.equal(outcome, 'ok')
    assert.deepEqual(scheduled(ended), {
      endedAtMs: host.clock.now(),
      okAtMs: host.clock.now(),
      failures: 0,
    })
    assert.equal(clockOf(ended)?.bootId, 'boot')
    assert.deepEqual(
      one.runs.map(({ end }) => end?.outcome),
      [undefined, 'ok'],
    )
    assert.deepEqual(countedRuns(one), [['ok', 1]])
  })

  test('tells how far it is while it runs, every two seconds', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    let context: JobContext | undefined
    job.run = (given) => {
      context = given
      return untilStopped(given)
    }
    const one = host.process('one')
    const { done } = await started(one)
    for (let far = 1; far <= 3; far += 1) {
      context?.progress({ phase: 'looking', done: far, total: 9 })
      await host.clock.pass(2_000)
      const { progress, updatedAtMs } = recordOf(host)
      assert.equal((progress as { done: number }).done, far)
      assert.equal(updatedAtMs, host.clock.now())
    }
    one.runner.stop('gc')
    assert.equal((await done).outcome, 'stopped')
    await host.clock.pass(60_000)
    assert.equal(host.clock.waiting, 0)
  })

  test('that reports problems has gone through, and one that throws has failed', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const one = host.process('one')
    job.run = async () => ({ ...fine, ok: false })
    assert.equal((await (await started(one)).done).outcome, 'problems')
    const endedAtMs = host.clock.now()
    assert.deepEqual(scheduled(recordOf(host)), { endedAtMs, failures: 0 })
    job.run = () => Promise.reject(new Error('a tooth broke'))
    await host.clock.pass(5_000)
    for (const failures of [1, 2]) {
      const { outcome, report } = await (await started(one)).done
      assert.equal(outcome, 'failed')
      assert.deepEqual(report.summary, ['gc failed: a tooth broke'])
      assert.deepEqual(scheduled(recordOf(host)), { endedAtMs, failures })
    }
    assert.equal(one.log.filter(({ level }) => level === 'error').length, 2)
    assert.deepEqual(countedRuns(one), [
      ['problems', 1],
      ['failed', 2],
    ])
  })

  test('that throws before its first promise has failed, too', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = () => {
      throw new Error('at once')
    }
    const { done } = await started(host.process('one'))
    assert.deepEqual((await done).report.summary, ['gc failed: at once'])
  })

  test('of a part takes the place of no scheduled one', async () => {
    const host = new Host(new ScriptedJob())
    const one = host.process('one')
    await (await started(one)).done
    const history = scheduled(recordOf(host))
    await host.clock.pass(day)
    await (await started(one, { part: 'a' })).done
    assert.deepEqual(scheduled(recordOf(host)), history)
    // But it is the last one.
    assert.equal(historyOf(recordOf(host)).last?.endedAtMs, host.clock.now())
  })

  test('whose report is too long keeps its first lines', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const lines = Array.from({ length: 3_000 }, (_, at) => `line ${at} ${'x'.repeat(1_000)}`)
    job.run = async () => ({ ok: true, summary: lines, details: { lines } })
    const { done } = await started(host.process('one'))
    assert.equal((await done).report.summary.length, 3_000)
    const report = reportOf(recordOf(host))!
    assert.equal(report.ok, true)
    assert.equal(report.summary[0]?.slice(0, 8), 'line 0 x')
    assert.equal(report.summary.at(-1), 'the details are too long to be kept')
    assert.deepEqual(report.details, { tooLong: true })
  })

  test('counts what it does, and what it tells of', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = async (context) => {
      await context.pace({ items: 2, bytes: 30 })
      context.record({ deed: 'destroy-blob', reason: 'old', bytes: 12 })
      context.record({ deed: 'unlink-blob', reason: 'old' })
      return fine
    }
    const one = host.process('one')
    await (await started(one)).done
    assert.deepEqual(
      one.counts.items().map(({ labels, count }) => [labels['deed'], count]),
      [
        ['processed', 2],
        ['destroy-blob', 1],
        ['unlink-blob', 1],
      ],
    )
    assert.deepEqual(
      one.counts.bytes().map(({ labels, count }) => [labels['deed'], count]),
      [
        ['processed', 30],
        ['destroy-blob', 12],
      ],
    )
    assert.equal(one.deeds.length, 2)
  })
})

describe('what cannot begin', () => {
  test('an unknown job, a wrong input, a server that stops', async () => {
    const host = new Host(new ScriptedJob())
    const one = host.process('one')
    const errors: unknown[] = []
    for (const [kind, input] of [
      ['scrub', {}],
      ['gc', { depth: 3 }],
    ] as const) {
      errors.push(await one.runner.start(kind, input))
    }
    one.runner.stopAll()
    errors.push(await one.runner.start('gc', {}))
    assert.deepEqual(errors, [
      { kind: 'invalid', error: 'there is no job scrub' },
      { kind: 'invalid', error: 'gc has no depth' },
      { kind: 'refused', error: 'the server is stopping' },
    ])
    assert.equal(host.metadata.readJob('gc'), undefined)
  })

  test('a second run, in whatever process', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    const [one, other] = [host.process('4711/5/b/n'), host.process('other')]
    const { done } = await started(one)
    await host.clock.pass(3_000)
    const refused = await Promise.all([one.runner.start('gc', {}), other.runner.start('gc', {})])
    for (const answer of refused) {
      assert.deepEqual(answer, {
        kind: 'held',
        error:
          'gc is running since 2026-06-01T00:00:00.000Z in process 4711, which was heard 1 s ago',
      })
    }
    one.runner.stop('gc')
    await done
    assert.deepEqual(job.inputs, [{}])
  })

  test('two that are asked for at once become one', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    const processes = [host.process('one'), host.process('other')]
    const answers = await Promise.all(
      [0, 1, 0, 1, 0, 1].map((at) => processes[at]!.runner.start('gc', {})),
    )
    assert.deepEqual(answers.map(({ kind }) => kind).sort(), [
      ...['held', 'held', 'held', 'held', 'held', 'started'],
    ])
    for (const { runner } of processes) await runner.close()
  })

  test('one that judges by a clock which was set, unless an operator says that it is right', async () => {
    const job = new ScriptedJob()
    const scrub = new ScriptedJob('scrub')
    const host = new Host(job, scrub)
    const one = host.process('one')
    host.clock.aheadMs = 3 * day
    const refused = await one.runner.start('gc', {})
    assert.equal(refused.kind, 'refused')
    assert.match('error' in refused ? refused.error : '', /set forwards by 3 d/)
    assert.equal(host.metadata.readJob('gc'), undefined)
    assert.equal((await one.runner.start('scrub', {})).kind, 'started')
    assert.equal((await one.runner.start('gc', {}, true)).kind, 'started')
    await settled()
    assert.equal((await one.runner.start('gc', {})).kind, 'started')
  })

  test('one whose last run ended in the future', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    host.clock.aheadMs = 3 * day
    await (await started(host.process('one'))).done
    host.clock.aheadMs = 0
    const other = host.process('other')
    assert.equal((await other.runner.start('gc', {})).kind, 'refused')
    assert.equal((await other.runner.start('gc', {}, true)).kind, 'started')
    await settled()
    assert.equal((await other.runner.start('gc', {})).kind, 'started')
  })

  test('one whose clock is set while it runs ends', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = async (context) => {
      for (;;) await context.pace({ items: 1, bytes: 0 }).then(() => settled())
    }
    const { done } = await started(host.process('one'))
    host.clock.aheadMs = 3 * day
    const { outcome, report } = await done
    assert.equal(outcome, 'failed')
    assert.match(report.summary[0] ?? '', /^gc failed: the clock was set forwards/)
  })
})

describe('a stop', () => {
  test('by an operator keeps the place, and counts as the turn of the schedule', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = async (context) => {
      context.progress({ phase: 'looking', done: 3, total: 9 })
      await context.checkpoint('here')
      return untilStopped(context)
    }
    const one = host.process('one')
    const { done } = await started(one)
    await settled()
    assert.equal(one.runner.stop('gc'), true)
    const { outcome, report } = await done
    assert.equal(outcome, 'stopped')
    assert.deepEqual(report.summary, [
      'gc was stopped at 3 of 9: an operator stopped it; the next run goes on from there',
    ])
    assert.equal(historyOf(recordOf(host)).endedAtMs, host.clock.now())
    job.run = async ({ resumed }) => ({ ...fine, details: { resumed } })
    const next = await (await started(one)).done
    assert.deepEqual(next.report.details, { resumed: 'here' })
    assert.equal(one.runner.stop('gc'), false)
  })

  test('reaches a run of another process with its next look', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    const { done, run } = await started(host.process('one'))
    await settled()
    assert.equal(await host.metadata.askJobToStop('gc', 'another run'), false)
    assert.equal(await host.metadata.askJobToStop('gc', run), true)
    await host.clock.pass(2_000)
    assert.equal((await done).outcome, 'stopped')
    assert.equal(await host.metadata.askJobToStop('gc', run), false)
    // It was for that run alone.
    job.run = async () => fine
    assert.equal((await (await started(host.process('other'))).done).outcome, 'ok')
  })

  test('of the server waits for what runs', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    const one = host.process('one')
    await started(one)
    await one.runner.close()
    const { outcome } = reportOf(recordOf(host))!
    assert.deepEqual([outcome, scheduled(recordOf(host))], ['stopped', { failures: 0 }])
  })

  test('of the server does not wait for a job that does not end', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = () => new Promise(() => {})
    const one = host.process('one')
    await started(one)
    let isClosed = false
    const closed = one.runner.close().then(() => {
      isClosed = true
    })
    await host.clock.pass(4_999)
    assert.equal(isClosed, false)
    await host.clock.pass(1)
    await closed
    assert.equal(recordOf(host).endedAtMs, undefined)
  })
})

test('an end that cannot be recorded is tried again, then told of', async () => {
  const job = new ScriptedJob()
  const host = new Host(job)
  const one = host.process('one')
  let faults = 2
  const save = host.metadata.saveJob.bind(host.metadata)
  host.metadata.saveJob = async (kind, held, change) => {
    if (change.end !== undefined && faults > 0) {
      faults -= 1
      throw new StorageError('unavailable', 'no store')
    }
    return save(kind, held, change)
  }
  const first = await started(one)
  await host.clock.pass(60_000)
  assert.equal((await first.done).outcome, 'ok')
  faults = 100
  const second = await started(one)
  await host.clock.pass(60_000)
  assert.equal((await second.done).outcome, 'failed')
  assert.ok(one.log.some(({ message }) => message.includes('could not be recorded')))
  // Our own run that is over is no reason to wait for it.
  faults = 0
  assert.equal((await (await started(one)).done).outcome, 'ok')
})
