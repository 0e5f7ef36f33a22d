// Goal: jobs run in a real server, alone and as several processes, are seen and stopped through any of them,
// do not hold up its end, go on after a kill, and run without a server on the same store. Method: the product
// and scrubs at so low a rate that they never end by themselves.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type AdminAnswer, askAdmin } from '../../../src/cli/admin-client.ts'
import type { JobStatus } from '../../../src/maintain/job/admin.ts'
import { poll as pollFor } from '../../http/product.ts'
import { runCommand } from '../../support/command-line.ts'
import { seededBytes } from '../../support/images.ts'
import { RegistryClient } from '../../support/registry-client.ts'
import { productCommand, type Server, startServer } from '../../support/server.ts'

const slow = '[scrub]\nbytes_per_second = "1KiB"\n'
const fast = '[scrub]\nbytes_per_second = "0B"\n'

function poll<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  return pollFor(what, ask, 60_000)
}

/** A store that outlives its servers. */
class Site {
  readonly folder: string
  readonly #toml: string

  constructor(folder: string, toml: string) {
    this.folder = folder
    this.#toml = toml
  }

  static async open(t: TestContext, toml = ''): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-served-'))
    t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
    return new Site(folder, toml)
  }

  get socket(): string {
    return join(this.folder, 'admin.sock')
  }

  get audit(): string {
    return join(this.folder, 'audit.jsonl')
  }

  async serve(t: TestContext, rate: string): Promise<Server> {
    const server = await startServer({ base: this.#config(rate) })
    t.after(async () => {
      server.kill()
      await server.exited
    })
    return server
  }

  async push(server: Server): Promise<void> {
    const client = new RegistryClient(server.url)
    for (let seed = 0; seed < 4; seed += 1) {
      await client.pushBlob('app', seededBytes(`served ${seed}`, 64 * 1024))
    }
    client.close()
  }

  /** The command without a server. */
  async run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
    return runCommand(['-c', this.configFile(fast), ...args], this.folder)
  }

  configFile(rate: string): string {
    const file = join(this.folder, 'config.toml')
    writeFileSync(file, this.#config(rate))
    return file
  }

  start(kind = 'scrub'): Promise<AdminAnswer> {
    return askAdmin(this.socket, '/jobs/start', { kind })
  }

  stop(): Promise<AdminAnswer> {
    return askAdmin(this.socket, '/jobs/stop', { kind: 'scrub' })
  }

  async status(): Promise<JobStatus> {
    const { status, body } = await askAdmin(this.socket, '/jobs?kind=scrub')
    assert.equal(status, 200)
    const [job] = (body as { readonly jobs: readonly JobStatus[] }).jobs
    assert.ok(job !== undefined)
    return job
  }

  until(what: string, holds: (job: JobStatus) => boolean): Promise<JobStatus> {
    return poll(what, async () => {
      const job = await this.status()
      return holds(job) ? job : undefined
    })
  }

  /** What the audit says of the beginnings and ends of scrubs. */
  deeds(): readonly string[] {
    return readFileSync(this.audit, 'utf8')
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.includes('"job":"scrub"'))
      .map((line) => JSON.parse(line) as { readonly deed: string; readonly reason: string })
      .filter(({ deed }) => ['begin', 'end'].includes(deed))
      .map(({ deed, reason }) => `${deed} ${reason.split(':', 1)[0]}`)
  }

  #config(rate: string): string {
    return `
[server]
port = 0
${this.#toml}
[admin]
socket = ${JSON.stringify(this.socket)}
[blob_store.fs]
root_dir = ${JSON.stringify(join(this.folder, 'data'))}
[audit]
file = ${JSON.stringify(this.audit)}
[global.access_policy]
default = "allow"
${rate}`
  }
}

test('a run outlives the end and the kill of its server, and ends without one', async (t) => {
  const site = await Site.open(t)
  const first = await site.serve(t, slow)
  await site.push(first)
  const started = await site.start()
  assert.equal(started.status, 202, JSON.stringify(started.body))
  await site.until('it is seen to run', ({ state, progress }) => {
    return state === 'running' && (progress as { phase?: string }).phase !== undefined
  })
  const second = await site.start()
  assert.equal(second.status, 409)
  assert.match(JSON.stringify(second.body), /scrub is running since .* in process \d+/)
  // Another kind beside it.
  assert.equal((await site.start('gc')).status, 202)
  assert.deepEqual(await first.stop(), { code: 0, signal: null }, first.log.slice(-5).join('\n'))

  const next = await site.serve(t, slow)
  const stopped = await site.status()
  assert.deepEqual([stopped.state, stopped.outcome], ['ended', 'stopped'])
  assert.equal((await site.start()).status, 202)
  await site.until('it runs again', ({ state }) => state === 'running')
  // The audit is written behind the deeds; what was not written yet dies with the process.
  await poll('its begin is in the audit', async () => {
    return site.deeds().length === 3 ? true : undefined
  })
  next.kill()
  await next.exited

  const shown = await site.run('jobs', 'scrub', '--json')
  assert.equal(shown.code, 0, shown.err)
  const { jobs } = JSON.parse(shown.out) as { readonly jobs: readonly JobStatus[] }
  assert.equal(jobs[0]?.state, 'interrupted')
  const scrubbed = await site.run('scrub', '--json')
  assert.equal(scrubbed.code, 0, scrubbed.err + scrubbed.out)
  assert.equal((JSON.parse(scrubbed.out) as { outcome: string }).outcome, 'ok')
  assert.match((await site.run('jobs')).out, /^scrub {3}ok, ended \d+ s ago$/m)
  const refused = await site.run('backup', 'create', '--to', join(site.folder, 'nowhere'))
  assert.deepEqual([refused.code, refused.err], [1, ''])
  assert.match(refused.out, /^backup failed: .*nowhere is not there/)
  assert.deepEqual(site.deeds(), [
    ...['begin started', 'end stopped', 'begin started', 'begin started', 'end ok'],
  ])
})

test('several processes run a job once, and whichever is asked stops it', async (t) => {
  const site = await Site.open(t, 'processes = 2\n[storage]\nsharing = "shared"\n')
  const server = await site.serve(t, slow)
  await site.push(server)
  const pids = async (): Promise<readonly (number | null)[]> => {
    const { body } = await askAdmin(site.socket, '/status')
    const { processes = [] } = body as {
      readonly processes?: readonly { readonly pid: number | null; readonly state: string }[]
    }
    return processes.map(({ pid, state }) => (state === 'serving' ? pid : null))
  }
  const both = await poll('both serve', async () => {
    const found = await pids()
    return found.every((pid) => pid !== null) ? found : undefined
  })
  // The first process is asked; while its successor starts, the other one is.
  assert.equal((await site.start()).status, 202)
  const { owner } = await site.until('it runs', ({ state }) => state === 'running')
  assert.equal(owner, `process ${both[0]}`)
  process.kill(both[0] ?? 0, 'SIGKILL')
  await poll('the other one takes it over', async () => {
    const { status } = await site.start().catch(() => ({ status: 0 }))
    return status === 202 ? true : undefined
  })
  const taken = await site.until('it runs there', ({ state }) => state === 'running')
  await poll('both serve again', async () => {
    return (await pids()).every((pid) => pid !== null) ? true : undefined
  })
  const started = await site.start()
  assert.equal(started.status, 409)
  const stopped = await site.stop()
  assert.deepEqual([stopped.status, stopped.body], [202, { run: taken.run }])
  const ended = await site.until('it has ended', ({ state }) => state === 'ended')
  assert.equal(ended.outcome, 'stopped')
  assert.equal((await site.stop()).status, 409)
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log.slice(-5).join('\n'))
})

test('without a server a signal stops a job cleanly, and the next one goes on', async (t) => {
  const site = await Site.open(t)
  const server = await site.serve(t, slow)
  await site.push(server)
  await server.stop()
  const [command = '', ...program] = productCommand()
  const line = [...program, '-c', site.configFile(slow), 'scrub', '--json']
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const child = spawn(command, line, { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'close')
    let out = ''
    child.stdout.on('data', (bytes: Buffer) => {
      out += bytes.toString()
    })
    const begun = (): number => readFileSync(site.audit, 'utf8').split('"deed":"begin"').length
    const before = begun()
    await poll('it runs', async () => (begun() > before ? true : undefined))
    child.kill(signal)
    assert.deepEqual(await ended, [1, null])
    assert.equal((JSON.parse(out) as { outcome: string }).outcome, 'stopped')
  }
  const last = await site.run('scrub')
  assert.equal(last.code, 0, last.err)
})

test('a server whose admin socket does not answer is named as what holds the store', async (t) => {
  const site = await Site.open(t)
  await site.serve(t, slow)
  await rm(site.socket)
  const { code, err } = await site.run('scrub')
  assert.equal(code, 1)
  assert.match(err, /^keelson: no server answers on .*, and .* if that is the server, its admin/)
  assert.match((await site.run('gc', '--online')).err, /no server answers on .*: start it first/)
})

test('a dry run does not hide how the last run went', async (t) => {
  const site = await Site.open(t)
  const server = await site.serve(t, fast)
  await site.push(server)
  const scrubJob = async (): Promise<string> => {
    const [, after = ''] = (await site.run('jobs')).out.split('scrub   ')
    return after.split('prune')[0] ?? ''
  }
  assert.equal((await site.run('scrub', '--dry-run')).code, 0)
  assert.match(await scrubJob(), /^never run\n {8}a dry run: ok, ended \d+ s ago$/m)
  assert.equal((await site.run('scrub')).code, 0)
  assert.match(await scrubJob(), /^ok, ended \d+ s ago\n {8}\d+ records and 4 blobs looked at/)
  assert.equal((await site.run('scrub', '--dry-run', '--quick')).code, 0)
  const both = await scrubJob()
  assert.match(both, /^ok, ended \d+ s ago\n {8}\d+ records and 4 blobs looked at, .* hashed$/m)
  assert.match(both, /a dry run: ok/)
})
