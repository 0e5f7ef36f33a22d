// Goal: the service manager hears what it must hear, in order, and nothing that goes wrong with it
// harms the server. Method: systemd's own sender, and a socket that keeps what it gets.
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { connectServiceManager, type ServiceManager } from '../../src/systemd/notify.ts'
import { startWatchdog } from '../../src/systemd/watchdog.ts'
import { needs } from '../support/tools.ts'
import { until, within } from '../support/until.ts'
import { type NotifySocket, openNotifySocket } from './notify-socket.ts'

let folder = ''
const warnings: string[] = []
const log = {
  warn: (_fields: unknown, text?: string) => void warnings.push(text ?? String(_fields)),
  error: (_fields: unknown, text?: string) => void warnings.push(text ?? ''),
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keelson-notify-'))
})
after(() => rm(folder, { recursive: true, force: true }))
beforeEach(() => warnings.splice(0))

describe('without a service manager', () => {
  test('nothing is sent and nobody is warned', async () => {
    const manager = connectServiceManager({}, log)
    tellAll(manager)
    await manager.close()
    assert.equal(manager.watchdogMs, undefined)
    assert.deepEqual(warnings, [])
  })
})

describe('the variables of the service manager', () => {
  test('do not reach child processes', () => {
    const env = { NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '1', WATCHDOG_PID: '1', HOME: '/' }
    connectServiceManager(env, log)
    assert.deepEqual(env, { HOME: '/' })
  })

  const periods: readonly (readonly [NodeJS.ProcessEnv, number | undefined])[] = [
    [{ WATCHDOG_USEC: '30000000' }, 30_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: String(process.pid) }, 30_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }, undefined],
    [{}, undefined],
    [{ WATCHDOG_USEC: '0' }, undefined],
    [{ WATCHDOG_USEC: '-5' }, undefined],
    [{ WATCHDOG_USEC: 'soon' }, undefined],
  ]
  for (const [env, expected] of periods) {
    test(`${JSON.stringify(env)} means a watchdog of ${expected} ms`, () => {
      const programs = ['/bin/true']
      const manager = connectServiceManager({ NOTIFY_SOCKET: '/x', ...env }, log, { programs })
      assert.equal(manager.watchdogMs, expected)
    })
  }
})

describe('messages', needs('perl', 'systemd-notify'), () => {
  let socket: NotifySocket
  beforeEach(async () => {
    await rm(join(folder, 'notify'), { force: true })
    socket = await openNotifySocket(folder)
  })
  afterEach(() => socket.close())

  function connected(): ServiceManager {
    return connectServiceManager({ NOTIFY_SOCKET: socket.path }, log)
  }

  test('arrive in the order in which they are given', async () => {
    const manager = connected()
    const beforeUs = process.hrtime.bigint() / 1000n
    tellAll(manager)
    await manager.close()
    await until('all messages', () => socket.messages.length === 5)
    const [ready, reloading, readyAgain, status, stopping] = socket.messages
    assert.deepEqual(ready, { READY: '1', STATUS: 'serving on 127.0.0.1:8000' })
    assert.equal(reloading?.['RELOADING'], '1')
    // The manager's own clock: its seconds are those since the start of the host.
    const atUs = BigInt(reloading?.['MONOTONIC_USEC'] ?? '')
    assert.ok(atUs >= beforeUs && atUs <= process.hrtime.bigint() / 1000n)
    const [uptime = ''] = (await readFile('/proc/uptime', 'utf8')).split(' ')
    assert.ok(Math.abs(Number(uptime) - Number(atUs) / 1e6) < 60, `${uptime} ${atUs}`)
    assert.deepEqual(readyAgain, { READY: '1' })
    assert.deepEqual(status, { STATUS: 'two lines, no READY=0' })
    assert.deepEqual(stopping, { STOPPING: '1', EXTEND_TIMEOUT_USEC: '45000000' })
    assert.deepEqual(warnings, [])
  })

  test('are bounded in number: of a storm the last one arrives', async () => {
    const manager = connected()
    for (let i = 0; i < 200; i++) manager.status(`state ${i}`)
    await manager.close()
    await until('the last state', () => socket.messages.at(-1)?.['STATUS'] === 'state 199')
    assert.ok(socket.messages.length <= 17, String(socket.messages.length))
  })

  test('of the watchdog come while everything is alive, and only then', async () => {
    let asked = 0
    let answer: () => Promise<boolean> = () => Promise.resolve(true)
    const env = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '100000' }
    const manager = connectServiceManager(env, log)
    const isAlive = (): Promise<boolean> => {
      asked++
      return answer()
    }
    const watchdog = startWatchdog(manager, isAlive, log)
    const beats = (): number => socket.messages.filter((each) => 'WATCHDOG' in each).length
    let marks = 0
    // Messages keep their order, so that no beat is on its way when the mark arrives.
    const settle = async (questions: number): Promise<number> => {
      const enough = asked + questions
      await until('more questions', () => asked >= enough)
      const mark = `mark ${++marks}`
      manager.status(mark)
      await until(mark, () => socket.messages.at(-1)?.['STATUS'] === mark)
      return beats()
    }
    await until('three beats', () => beats() >= 3)
    for (const fault of [() => Promise.resolve(false), () => Promise.reject(new Error('lost'))]) {
      answer = fault
      const before = await settle(2)
      assert.equal(await settle(3), before)
      assert.deepEqual(warnings.splice(0), ['no beat for the watchdog of systemd'])
      answer = () => Promise.resolve(true)
      await until('beats again', () => beats() > before)
    }
    // A question without an answer is not asked again.
    answer = () => new Promise(() => {})
    const last = await settle(1)
    const askedOnce = asked
    assert.equal(await settle(0), last)
    assert.equal(asked, askedOnce)
    watchdog.stop()
    await manager.close()
  })
})

describe('a service manager that cannot be told', () => {
  const failing: readonly (readonly [string, string])[] = [
    ['refuses', 'exit 1'],
    ['never ends', 'sleep 600'],
    ['takes its helper with it', 'kill -9 $PPID'],
  ]
  for (const [what, command] of failing) {
    test(`is given up where the sender ${what}, with one line in the log`, async () => {
      const program = join(folder, 'sender')
      await writeFile(program, `#!/bin/sh\n${command}\n`)
      await chmod(program, 0o755)
      const env = { NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '1000000' }
      const options = { programs: [program], deadlineMs: 100 }
      const manager = connectServiceManager(env, log, options)
      tellAll(manager)
      await within('the end of all messages', manager.close())
      assert.deepEqual(warnings, ['systemd could not be told the state of the server'])
    })
  }

  test('is nobody where there is no sender', () => {
    const programs = [join(folder, 'absent')]
    const manager = connectServiceManager({ NOTIFY_SOCKET: '/nowhere' }, log, { programs })
    tellAll(manager)
    assert.deepEqual(warnings, ['systemd waits for messages, but systemd-notify is not installed'])
  })
})

function tellAll(manager: ServiceManager): void {
  manager.ready('serving on 127.0.0.1:8000')
  manager.reloading()
  manager.ready()
  manager.status('two lines,\nno READY=0')
  manager.stopping(30_000)
}
