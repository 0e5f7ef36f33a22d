// Goal: a run that was cut short is passed over, never done twice, and the next one goes on where it was.
// Method: processes with runners of their own on one store, a clock that is moved by hand, and a scripted job.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StorageError } from '../../../src/storage/error.ts'
import { settled } from './fake-clock.ts'
import { day, fine, Host, recordOf, ScriptedJob, started, untilStopped } from './scene.ts'

describe('a run that was cut', () => {
  // Each run remembers where it is, then waits until it is stopped, or killed.
  function remembering(job: ScriptedJob, resumed: unknown[]): void {
    job.run = async (context) => {
      resumed.push(context.resumed)
      await context.checkpoint({ at: resumed.length })
      return untilStopped(context)
    }
  }

  test('by a kill is passed over, and the next one goes on from there', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const resumed: unknown[] = []
    remembering(job, resumed)
    await started(host.process('one'))
    await settled()
    const other = host.process('other')
    assert.equal((await other.runner.start('gc', {})).kind, 'held')
    host.kill('one')
    assert.ok(other.runner.isAbandoned(recordOf(host)))
    await started(other)
    await settled()
    host.kill('other')
    await started(host.process('third'))
    await settled()
    assert.deepEqual(resumed, [undefined, { at: 1 }, { at: 2 }])
  })

  test('is not what was stopped after it had done all', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = async (context) => {
      await untilStopped(context).catch(() => undefined)
      return { ...fine, isFinal: true }
    }
    const one = host.process('one')
    const run = await started(one)
    await settled()
    assert.ok(one.runner.stop('gc'))
    assert.equal((await run.done).outcome, 'ok')
  })

  test('is not what is refused while the store takes no writes', async () => {
    const jobs = (['gc', 'scrub', 'backup'] as const).map((kind) => new ScriptedJob(kind))
    const host = new Host(...jobs)
    const { runner } = host.process('one')
    const thaw = await host.metadata.freeze()
    for (const kind of ['gc', 'scrub'] as const) {
      const answer = await runner.start(kind, {})
      assert.ok(answer.kind === 'refused', kind)
      assert.match(answer.error, /the store is read-only while, and after, it is migrated/)
    }
    assert.equal((await runner.start('backup', {})).kind, 'started')
    thaw()
    assert.equal((await runner.start('gc', {})).kind, 'started')
  })

  test('is not what a living process does that is silent for long', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    await started(host.process('one'))
    host.clock.hold(day)
    assert.equal((await host.process('other').runner.start('gc', {})).kind, 'held')
  })

  test('of another input is no place to go on from, nor is what came before that', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const resumed: unknown[] = []
    remembering(job, resumed)
    await started(host.process('a'))
    await settled()
    host.kill('a')
    job.run = async (context) => {
      resumed.push(context.resumed)
      return untilStopped(context)
    }
    // Killed before it has remembered anything of its own.
    await started(host.process('b'), { part: 'x' })
    await settled()
    host.kill('b')
    await started(host.process('c'), { part: 'x' })
    await settled()
    host.kill('c')
    await started(host.process('d'))
    await settled()
    assert.deepEqual(resumed, [undefined, undefined, undefined, { at: 1 }])
  })

  test('by an owner who hides is taken over when he is silent for two minutes', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    const one = host.process('one')
    await started(one)
    host.hidden.add('one')
    const other = host.process('other')
    await host.clock.pass(10 * 60_000)
    assert.equal((await other.runner.start('gc', {})).kind, 'held')
    // A process that is stopped as a whole writes nothing.
    const { updatedAtMs } = recordOf(host)
    host.clock.hold(120_000)
    assert.equal((await other.runner.start('gc', {})).kind, 'held')
    host.clock.hold(1)
    assert.equal(recordOf(host).updatedAtMs, updatedAtMs)
    assert.equal((await other.runner.start('gc', {})).kind, 'started')
  })

  test('by a fence ends, and leaves the record to whoever has it', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = untilStopped
    const one = host.process('one')
    const first = await started(one)
    host.kill('one')
    const other = host.process('other')
    const second = await started(other)
    await host.clock.pass(2_000)
    const { outcome, report } = await first.done
    assert.deepEqual(
      [outcome, report.summary],
      ['failed', ['another process has taken the job over']],
    )
    assert.deepEqual([recordOf(host).run, recordOf(host).endedAtMs], [second.run, undefined])
    assert.equal(one.runner.running('gc'), undefined)
    await other.runner.close()
    assert.equal(recordOf(host).run, second.run)
  })

  test('by the end of its lease ends before its next step, and begins no other', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    let go = (): void => {}
    let steps = 0
    job.run = async (context) => {
      await new Promise<void>((resolve) => {
        go = resolve
      })
      await context.pace({ items: 1, bytes: 0 })
      steps += 1
      return { ok: true, summary: [], details: {} }
    }
    const one = host.process('one')
    const first = await started(one)
    host.lapsed.add('one')
    go()
    const { outcome, report } = await first.done
    assert.deepEqual([outcome, report.summary, steps], ['failed', ['its lease has ended'], 0])
    assert.equal(recordOf(host).endedAtMs, undefined)
    const again = await one.runner.start('gc', {})
    assert.deepEqual(again, { kind: 'refused', error: 'its lease has ended' })
    host.lapsed.delete('one')
    assert.equal((await one.runner.start('gc', {})).kind, 'started')
    go()
  })

  test('while it remembers where it is ends, too', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    let go = (): void => {}
    job.run = async (context) => {
      await new Promise<void>((resolve) => {
        go = resolve
      })
      await context.checkpoint({ at: 1 })
      return fine
    }
    const first = await started(host.process('one'))
    host.kill('one')
    const other = host.process('other')
    job.run = untilStopped
    await started(other)
    go()
    assert.equal((await first.done).outcome, 'failed')
    assert.equal(recordOf(host).checkpoint, undefined)
  })

  test('by a store that was away goes on from there, by any other fault from the start', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    const one = host.process('one')
    const resumed: unknown[] = []
    let fault: Error | undefined = new StorageError('unavailable', 'no store')
    job.run = async (context) => {
      resumed.push(context.resumed)
      await context.checkpoint('here')
      if (fault !== undefined) throw fault
      return fine
    }
    await (await started(one)).done
    fault = new Error('poison')
    await (await started(one)).done
    fault = undefined
    await (await started(one)).done
    assert.deepEqual(resumed, [undefined, 'here', undefined])
  })

  test('a checkpoint that is too long fails the run, and harms no record', async () => {
    const job = new ScriptedJob()
    const host = new Host(job)
    job.run = async (context) => {
      await context.checkpoint('x'.repeat(70_000))
      return fine
    }
    const { report } = await (await started(host.process('one'))).done
    assert.match(report.summary[0] ?? '', /^gc failed: a checkpoint of \d+ characters is too long/)
  })
})
