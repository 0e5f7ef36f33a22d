// Goal: neither a reader of the log that is stuck or gone, nor a full disk, nor a stray signal does
// anything to a server but to its log. Method: the product, and small programs with its log, whose
// standard output the test chooses.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { attempt } from '../support/run.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const logModule = new URL('../../src/telemetry/log.js', import.meta.url).href

/** A program with a log `{ log, flush, figures }` of these options. */
function programOf(options: string, body: string): readonly string[] {
  const text = `import { fstatSync } from 'node:fs'
import { createLog } from ${JSON.stringify(logModule)}
const { log, flush, figures } = createLog(${options})
${body}`
  return ['--input-type=module', '-e', text]
}

async function statusOf(server: Server): Promise<number> {
  return (await fetch(`${server.url}/v2/`, { headers: { 'user-agent': 'x'.repeat(200) } })).status
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('a server whose log is not read', () => {
  // The test needs the one line that tells where it serves.
  const readers = [
    ['stuck', '"$@" | { grep -m1 serving; exec sleep 600; }'],
    ['gone', '"$@" | grep -m1 serving'],
  ] as const
  for (const [name, script] of readers) {
    test(`its reader is ${name}: it answers as before, and ends when it is told to`, async () => {
      const server = await startServer({
        toml: '[log]\naccess = "all"\n',
        wrap: ['sh', '-c', script, 'sh'],
      })
      try {
        // More than a pipe holds.
        for (let turn = 0; turn < 20; turn += 1) {
          const many = Array.from({ length: 25 }, () => statusOf(server))
          for (const status of await Promise.all(many)) assert.equal(status, 200)
        }
        process.kill(server.pid, 'SIGTERM')
        await until('the end', () => !isAlive(server.pid))
      } finally {
        server.kill()
        await server.exited
      }
    })
  }
})

describe('signals', () => {
  const denying = '[global.access_policy]\ndefault = "deny"\n[auth]\nhtpasswd = "/dev/null"\n'

  test('SIGUSR2 turns debug lines on and off; SIGUSR1 opens no debugger', async () => {
    const server = await startServer({ toml: denying })
    try {
      const count = (text: string): number =>
        server.log.filter((line) => line.includes(text)).length
      const denials = async (): Promise<number> => {
        const before = count('"denied"')
        assert.equal(await statusOf(server), 401)
        // What comes after it is there, so it would be, too.
        process.kill(server.pid, 'SIGUSR1')
        const told = count('SIGUSR1 does nothing')
        await until('the answer to SIGUSR1', () => count('SIGUSR1 does nothing') > told)
        return count('"denied"') - before
      }
      const turn = async (isOn: boolean): Promise<void> => {
        process.kill(server.pid, 'SIGUSR2')
        await until('the answer to SIGUSR2', () => count(`"debug":${isOn}`) > 0)
      }
      assert.equal(await denials(), 0)
      await turn(true)
      assert.equal(await denials(), 1)
      await turn(false)
      assert.equal(await denials(), 0)
      assert.equal(count('Debugger'), 0)
    } finally {
      await server.stop()
    }
  })
})

describe('a reload', () => {
  test('changes the level and the mask of every line from then on', async () => {
    const login =
      '[auth.identity.a]\nusername = "a"\npassword = "$2b$04$abcdefghijklmnopqrstuu5Lk1G9nY0mRkZ3WzXl8yQh6qFvT1C2e"\n'
    const log = (keys: string): string =>
      `[server]\nwatch_config = false\n[log]\naccess = "none"\n${keys}\n${login}`
    const server = await startServer({ toml: log('mask = ["username"]') })
    try {
      const failures = (): readonly string[] =>
        server.log.filter((line) => line.includes('"login failed"'))
      const failure = async (): Promise<string> => {
        const before = failures().length
        const authorization = `Basic ${Buffer.from('zoe:wrong').toString('base64')}`
        await fetch(`${server.url}/v2/`, { headers: { authorization } })
        await until('the login', () => failures().length > before)
        return failures().at(-1) ?? ''
      }
      const reload = async (keys: string): Promise<void> => {
        const done = (): number =>
          server.log.filter((line) => line.includes('configuration was read again')).length
        const before = done()
        await writeFile(server.configFile, log(keys))
        process.kill(server.pid, 'SIGHUP')
        await until('the reload', () => done() > before)
      }
      const masked = await failure()
      assert.ok(!masked.includes('zoe') && masked.includes('"address":"127.0.0.1"'), masked)
      await reload('mask = ["address"]')
      const other = await failure()
      assert.ok(other.includes('"username":"zoe"') && other.includes('"address":"***"'), other)
      await reload('level = "error"')
      const count = server.log.length
      process.kill(server.pid, 'SIGUSR2')
      await until('debug lines', () => server.log.length > count)
      assert.match(await failure(), /"username":"zoe".*"address":"127\.0\.0\.1"/)
    } finally {
      await server.stop()
    }
  })
})

describe('a program with this log', () => {
  test('on a full disk it goes on, and says so on standard error, once', async () => {
    const options = "{ level: 'info', format: 'json' }"
    const body = `
for (let index = 0; index < 100; index += 1) log.info({ index }, 'said')
const isOut = await flush()
console.error(JSON.stringify({ isOut, ...figures() }))`
    const command = ['exec "$@" >/dev/full', 'sh', process.execPath, ...programOf(options, body)]
    const { code, stderr } = await attempt('sh', ['-c', ...command])
    assert.equal(code, 0, stderr)
    const [fault, figures = '', ...more] = stderr.trim().split('\n')
    assert.match(fault ?? '', /^keelson: the log cannot be written \(ENOSPC\); trying again/)
    assert.deepEqual(JSON.parse(figures), {
      ...{ isOut: false, written: 0, dropped: 0, waiting: 100, fault: 'ENOSPC' },
    })
    assert.deepEqual(more, [])
  })

  test('several on one pipe do not mix their lines', async () => {
    const options = "{ level: 'info', format: 'json', process: Number(process.argv.at(-1)) }"
    const body = `
for (let turn = 0; turn < 60; turn += 1) {
  for (let line = 0; line < 10; line += 1) log.info({ text: 'x'.repeat(100 + (line * 977) % 6000) }, 'said')
  await new Promise(setImmediate)
}
await flush()`
    const script = 'for i in 1 2 3; do "$@" $i & done; wait'
    const program = [process.execPath, ...programOf(options, body)]
    const { code, stdout } = await attempt('sh', ['-c', script, 'sh', ...program])
    assert.equal(code, 0)
    const lines = stdout.trimEnd().split('\n')
    const processes = lines.map((line) => {
      assert.ok(Buffer.byteLength(line) < 4096)
      return (JSON.parse(line) as { readonly process: number }).process
    })
    for (const index of [1, 2, 3]) {
      assert.equal(processes.filter((each) => each === index).length, 600)
    }
  })

  test('on the socket of the journal lines have their priority', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keelson-journal-'))
    const journal = createServer()
    try {
      journal.listen(join(folder, 'journal'))
      const accepted = once(journal, 'connection') as Promise<[Socket]>
      const out = connect(join(folder, 'journal'))
      const [socket] = await accepted
      const received: Buffer[] = []
      socket.on('data', (bytes) => received.push(bytes))
      const options = `(() => {
  const { dev, ino } = fstatSync(1, { bigint: true })
  return { level: 'info', format: 'human', env: { JOURNAL_STREAM: dev + ':' + ino } }
})()`
      const body = "log.info('said'); log.error({ err: new Error('why') }, 'failed'); await flush()"
      const stdio = ['ignore', out, 'inherit'] as const
      const child = spawn(process.execPath, programOf(options, body), { stdio: [...stdio] })
      out.destroy()
      const [code] = (await once(child, 'exit')) as [number]
      assert.equal(code, 0)
      if (!socket.closed) await once(socket, 'close')
      const text = Buffer.concat(received).toString()
      assert.match(text, /^<6>INFO said\n<3>ERROR failed\n<3> {2}Error: why\n(<3> {6}at .*\n)+$/)
    } finally {
      journal.close()
      rmSync(folder, { recursive: true })
    }
  })
})
