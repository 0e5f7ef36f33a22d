// Goal: the admin interface starts and stops jobs and tells how they are, whichever process it asks, and says
// what is wrong with a call. Method: processes on one store, and a scripted job.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type JobAnswer, type JobStatus, JobsAdmin } from '../../../src/maintain/job/admin.ts'
import { settled } from './fake-clock.ts'
import { day, fine, Host, ScriptedJob, untilStopped } from './scene.ts'

function adminOf(host: Host, name: string): JobsAdmin {
  const { runner } = host.process(name)
  return new JobsAdmin({
    runner,
    nextDueMs: (kind) => (kind === 'gc' ? host.clock.now() + day : undefined),
    everyMs: () => day,
    askToStop: ({ kind, run }) => host.metadata.askJobToStop(kind, run),
  })
}

async function statusOf(admin: JobsAdmin, query = ''): Promise<readonly JobStatus[]> {
  const { status, body } = await admin.status(new URLSearchParams(query))
  assert.equal(status, 200)
  return (body as { readonly jobs: readonly JobStatus[] }).jobs
}

function errorOf({ status, body }: JobAnswer): string {
  return `${status}: ${(body as { readonly error?: string }).error}`
}

test('a job is started, shown and stopped through any process', async () => {
  const [gc, scrub] = [new ScriptedJob(), new ScriptedJob('scrub')]
  const host = new Host(gc, scrub)
  const [one, other] = [adminOf(host, 'one'), adminOf(host, 'other')]
  const nextDue = new Date(host.clock.now() + day).toISOString()
  assert.deepEqual(await statusOf(other), [
    { kind: 'gc', state: 'never', nextDue },
    { kind: 'scrub', state: 'never' },
  ])
  gc.run = (context) => {
    context.progress({ phase: 'looking', done: 1 })
    return untilStopped(context)
  }
  const { status, body } = await one.start({ kind: 'gc', input: { part: 'a' } })
  assert.deepEqual([status, body], [202, { run: 'one-1' }])
  assert.match(errorOf(await other.start({ kind: 'gc' })), /^409: gc is running since 2026/)
  assert.deepEqual((await statusOf(one))[0]?.progress, { phase: 'looking', done: 1 })
  await host.clock.pass(2_000)
  const [shown] = await statusOf(other, 'kind=gc')
  const { state, owner, input, progress } = shown ?? {}
  assert.deepEqual(
    { state, owner, input, progress },
    {
      ...{ state: 'running', owner: 'process one', input: { part: 'a' } },
      progress: { phase: 'looking', done: 1 },
    },
  )
  assert.deepEqual(await other.stop({ kind: 'gc' }), { status: 202, body: { run: 'one-1' } })
  await host.clock.pass(2_000)
  const [ended] = await statusOf(other, 'kind=gc')
  assert.deepEqual(
    [ended?.state, ended?.outcome, ended?.ok, ended?.details],
    ['ended', 'stopped', false, { stoppedBy: 'operator' }],
  )
  assert.equal(errorOf(await one.stop({ kind: 'gc' })), '409: gc is not running')
})

test('all of them are shown without their details', async () => {
  const gc = new ScriptedJob()
  const host = new Host(gc)
  const one = adminOf(host, 'one')
  await one.start({ kind: 'gc' })
  await settled()
  const [all] = await statusOf(one)
  const [whole] = await statusOf(one, 'kind=gc')
  assert.deepEqual([all?.summary, all?.details, all?.input], [fine.summary, undefined, undefined])
  assert.deepEqual([whole?.details, whole?.input], [fine.details, {}])
  assert.equal(all?.lastOkAt, new Date(host.clock.now()).toISOString())
})

test('one whose process is gone is interrupted, and cannot be stopped', async () => {
  const gc = new ScriptedJob()
  const host = new Host(gc)
  gc.run = untilStopped
  await adminOf(host, 'one').start({ kind: 'gc' })
  await settled()
  host.kill('one')
  const other = adminOf(host, 'other')
  assert.equal((await statusOf(other))[0]?.state, 'interrupted')
  assert.equal(errorOf(await other.stop({ kind: 'gc' })), '409: gc is not running')
})

test('a call that is none is refused with what is wrong', async () => {
  const host = new Host(new ScriptedJob(), new ScriptedJob('scrub'))
  const one = adminOf(host, 'one')
  const expected = 'kind: expected one of gc, scrub; found'
  assert.equal(errorOf(await one.start(undefined)), `400: ${expected} undefined`)
  assert.equal(errorOf(await one.start({ kind: 'export' })), `400: ${expected} export`)
  assert.equal(errorOf(await one.start({ kind: 'gc', force: 1 })), '400: unknown field force')
  assert.equal(
    errorOf(await one.start({ kind: 'gc', trustClock: 'yes' })),
    '400: trustClock: expected true or false',
  )
  assert.equal(errorOf(await one.start({ kind: 'gc', input: { a: 1 } })), '400: gc has no a')
  assert.equal(errorOf(await one.stop({ kind: ['gc'] })), `400: ${expected} gc`)
  assert.equal(errorOf(await one.stop({ kind: 'gc' })), '409: gc is not running')
  assert.equal(errorOf(await one.stop({})), `400: ${expected} undefined`)
  const shown = await one.status(new URLSearchParams('kind=toString'))
  assert.equal(errorOf(shown), `400: ${expected} toString`)
  host.clock.aheadMs = -3 * day
  assert.match(errorOf(await one.start({ kind: 'gc' })), /^503: the clock was set back/)
  assert.equal((await one.start({ kind: 'gc', trustClock: true })).status, 202)
})
