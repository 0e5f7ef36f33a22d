// Goal: a command follows the job that it started in a server, shows it on a terminal and nowhere else, and
// stops it as Ctrl-C asks. Method: the command in this process, an admin socket with real runners, a terminal
// that remembers what it was told.
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { runJob } from '../../src/cli/run-job.ts'
import { JobsAdmin } from '../../src/maintain/job/admin.ts'
import { systemJobClock } from '../../src/maintain/job/clock.ts'
import { type AdminListener, listenAdmin } from '../../src/server/admin.ts'
import { fine, Host, type Process, ScriptedJob, untilStopped } from '../maintain/job/scene.ts'
import { until } from '../support/until.ts'

interface Served {
  readonly job: ScriptedJob
  readonly host: Host
  readonly process: Process
  readonly listener: AdminListener
  readonly folder: string
}

async function serve(t: TestContext): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-job-'))
  const socket = join(folder, 'admin.sock')
  writeFileSync(
    join(folder, 'config.toml'),
    `[admin]\nsocket = ${JSON.stringify(socket)}\n[blob_store.fs]\nroot_dir = ${JSON.stringify(folder)}\n`,
  )
  const job = new ScriptedJob()
  const host = new Host(job)
  const process = host.process('one', { clock: systemJobClock })
  const admin = new JobsAdmin({
    runner: process.runner,
    nextDueMs: () => undefined,
    everyMs: () => 0,
    askToStop: ({ kind, run }) => host.metadata.askJobToStop(kind, run),
  })
  const listener = await listenAdmin(
    socket,
    { '/jobs': (query) => admin.status(query) },
    {
      '/jobs/start': (input) => admin.start(input),
      '/jobs/stop': (input) => admin.stop(input),
    },
  )
  t.after(async () => {
    await process.runner.close()
    await listener.close()
    rmSync(folder, { recursive: true })
  })
  return { job, host, process, listener, folder }
}

interface Running {
  readonly said: { out: string; err: string }
  readonly signals: EventEmitter
  readonly code: Promise<number>
}

function start(
  folder: string,
  { flags = [], width }: { readonly flags?: readonly string[]; readonly width?: number } = {},
): Running {
  const said = { out: '', err: '' }
  const signals = new EventEmitter()
  const terminal = {
    out: (text: string) => {
      said.out += text
    },
    err: (text: string) => {
      said.err += text
    },
    width: () => width,
  }
  const invocation = {
    ...{ files: [join(folder, 'config.toml')], flags: new Set(flags), options: {} },
    ...{ argument: undefined, words: [], cwd: folder, terminal },
  }
  const code = runJob(invocation, 'gc', {}, signals)
  return { said, signals, code }
}

describe('a job of a server', () => {
  test('is followed to its end; its report is printed, without a terminal nothing else', async (t) => {
    const { folder, job } = await serve(t)
    job.run = async (context) => {
      context.progress({ phase: 'looking', done: 1 })
      return fine
    }
    const { said, signals, code } = start(folder)
    assert.equal(await code, 0)
    assert.deepEqual(said, { out: 'all is well\n', err: '' })
    assert.equal(signals.listenerCount('SIGINT') + signals.listenerCount('SIGTERM'), 0)
  })

  test('that is not ok ends with 1', async (t) => {
    const { folder, job } = await serve(t)
    job.run = async () => ({ ...fine, ok: false, summary: ['one', 'two'] })
    const { said, code } = start(folder)
    assert.equal(await code, 1)
    assert.deepEqual(said, { out: 'one\ntwo\n', err: '' })
  })

  test('is one JSON object with --json, also on a terminal', async (t) => {
    const { folder, job } = await serve(t)
    job.run = async (context) => {
      context.progress({ phase: 'looking', done: 1 })
      return fine
    }
    const { said, code } = start(folder, { flags: ['json'], width: 80 })
    assert.equal(await code, 0)
    assert.equal(said.err, '')
    const { startedAt, endedAt, ...report } = JSON.parse(said.out) as Record<string, unknown>
    assert.deepEqual(report, { kind: 'gc', run: 'one-1', outcome: 'ok', ...fine })
    assert.ok(typeof startedAt === 'string' && typeof endedAt === 'string')
  })

  test('is a line on a terminal, which is gone at the end', async (t) => {
    const { folder, job } = await serve(t)
    let end = (): void => {}
    job.run = async (context) => {
      context.progress({ phase: 'looking at everything there is', done: 7, total: 9 })
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return fine
    }
    const { said, code } = start(folder, { width: 30 })
    await until('a line is drawn', () => said.err.includes('looking'))
    end()
    assert.equal(await code, 0)
    assert.equal(said.out, 'all is well\n')
    const drawn = said.err.split('\r\u001b[K').slice(1)
    assert.equal(drawn.at(-1), '')
    assert.ok(drawn.includes('gc: looking at everything the'), said.err)
    assert.ok(drawn.every((text) => text.length <= 29))
  })

  test('stops on Ctrl-C, which is told', async (t) => {
    const { folder, job, host } = await serve(t)
    job.run = untilStopped
    const { said, signals, code } = start(folder)
    await until('it runs', () => host.metadata.readJob('gc') !== undefined)
    signals.emit('SIGINT')
    assert.equal(await code, 1)
    assert.match(said.err, /^keelson: stopping\n$/)
    assert.match(said.out, /^gc was stopped: an operator stopped it/)
  })

  test('goes on after the second Ctrl-C', async (t) => {
    const { folder, job, host, process } = await serve(t)
    let end = (): void => {}
    job.run = async () => {
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return fine
    }
    const { said, signals, code } = start(folder)
    await until('it runs', () => host.metadata.readJob('gc') !== undefined)
    signals.emit('SIGINT')
    await until('it is asked to stop', () => said.err.includes('stopping'))
    signals.emit('SIGINT')
    assert.equal(await code, 1)
    assert.equal(
      said.err,
      'keelson: stopping\nkeelson: gc goes on in the server: keelson jobs shows it\n',
    )
    assert.ok(process.runner.running('gc') !== undefined)
    end()
  })

  test('that is run already is told of', async (t) => {
    const { folder, job, process } = await serve(t)
    job.run = untilStopped
    await process.runner.start('gc', {})
    const { said, code } = start(folder)
    assert.equal(await code, 1)
    assert.match(said.err, /^keelson: gc is running since .* in process one, /)
  })

  test('whose process is killed is told of', async (t) => {
    const { folder, job, host } = await serve(t)
    job.run = untilStopped
    const { said, code } = start(folder)
    await until('it runs', () => host.metadata.readJob('gc') !== undefined)
    const held = host.metadata.readJob('gc')!
    // Another process, which is gone, has it now.
    await host.metadata.claimJob(
      { kind: 'gc', run: held.run, owner: 'gone', input: {}, nowMs: Date.now() },
      () => true,
    )
    host.kill('gone')
    assert.equal(await code, 1)
    assert.match(said.err, /^keelson: the process that ran it is gone; the next run of gc goes on/)
  })

  test('that ended while another one began is told of', async (t) => {
    const { folder, job, host } = await serve(t)
    job.run = untilStopped
    const { said, code } = start(folder)
    await until('it runs', () => host.metadata.readJob('gc') !== undefined)
    await host.metadata.claimJob(
      { kind: 'gc', run: 'other', owner: 'other', input: {}, nowMs: Date.now() },
      () => true,
    )
    assert.equal(await code, 1)
    assert.match(said.err, /^keelson: run one-1 has ended, and another one has begun since/)
  })
})

describe('what is no server of this version', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-job-'))
  after(() => rmSync(folder, { recursive: true }))

  test('an older one is named', async () => {
    const socket = join(folder, 'admin.sock')
    writeFileSync(
      join(folder, 'config.toml'),
      `[admin]\nsocket = ${JSON.stringify(socket)}\n[blob_store.fs]\nroot_dir = ${JSON.stringify(folder)}\n`,
    )
    const listener = await listenAdmin(socket, {}, {})
    const { said, code } = start(folder)
    assert.equal(await code, 1)
    await listener.close()
    assert.equal(said.err, 'keelson: the server that runs is of another version: restart it\n')
  })

  test('where none runs, --online fails', async () => {
    const { said, code } = start(folder, { flags: ['online'] })
    assert.equal(await code, 1)
    assert.match(said.err, /^keelson: no server answers on .*: start it first\n$/)
  })

  test('where none runs and there is no store, that is said', async () => {
    const { said, code } = start(folder)
    assert.equal(await code, 1)
    assert.match(said.err, /^keelson: no server answers on .*, and there is no metadata store in/)
  })
})
