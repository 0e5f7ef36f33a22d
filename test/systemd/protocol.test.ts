// Goal: what systemd is told agrees with what the server does: ready only when it serves, reloading until
// the new configuration is in force, stopping, and no beat when the loop hangs. Method: the product, and a
// socket in place of systemd's.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Server, startServer } from '../support/server.ts'
import { needs } from '../support/tools.ts'
import { until } from '../support/until.ts'
import { type Message, type NotifySocket, openNotifySocket } from './notify-socket.ts'

const watchdogMs = 400
const shapes: readonly (readonly [name: string, toml: string])[] = [
  ['one process', '[server]\nwatch_config = false\n'],
  [
    'several processes',
    '[server]\nwatch_config = false\nprocesses = 2\n[storage]\nsharing = "shared"\n',
  ],
]

for (const [name, toml] of shapes) {
  describe(`systemd and ${name}`, needs('perl', 'systemd-notify'), () => {
    let folder = ''
    let socket: NotifySocket
    let server: Server
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'keelson-protocol-'))
      socket = await openNotifySocket(folder)
      const env = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: String(watchdogMs * 1000) }
      server = await startServer({ env, toml })
    })
    after(async () => {
      server.kill()
      await server.exited
      await socket.close()
      await rm(folder, { recursive: true, force: true })
    })

    const states = (): readonly Message[] => socket.messages.filter((each) => !('WATCHDOG' in each))
    const beats = (): number => socket.messages.filter((each) => 'WATCHDOG' in each).length
    const isReadyAfter = (count: number): boolean =>
      states()
        .slice(count)
        .some((each) => each['READY'] === '1')

    test('ready comes once, and then the server answers', async () => {
      await until('ready', () => isReadyAfter(0))
      assert.equal((await fetch(`${server.url}/v2/`)).status, 200)
      assert.equal(states().length, 1)
      assert.match(states()[0]?.['STATUS'] ?? '', /^serving/)
    })

    test('the processes of the server cannot speak for it', async () => {
      const children = await readFile(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8')
      for (const pid of children.trim().split(' ')) {
        const command = await readFile(`/proc/${pid}/cmdline`, 'utf8')
        if (command.startsWith('/bin/sh')) continue
        assert.doesNotMatch(await readFile(`/proc/${pid}/environ`, 'utf8'), /NOTIFY_|WATCHDOG_/)
      }
    })

    test('beats for the watchdog come', async () => {
      const seen = beats()
      await until('two more beats', () => beats() >= seen + 2)
    })

    test('a reload begins and ends, and a refused one says why', async () => {
      const taken = states().length
      process.kill(server.pid, 'SIGHUP')
      await until('the end of the reload', () => isReadyAfter(taken))
      assert.equal(states()[taken]?.['RELOADING'], '1')
      const words = (await readFile(`/proc/${server.pid}/cmdline`, 'utf8')).split('\0')
      const file = words[words.lastIndexOf('-c') + 1] ?? ''
      await writeFile(file, `${toml}\n[nonsense]\n`)
      const refused = states().length
      process.kill(server.pid, 'SIGHUP')
      await until('the end of the refused reload', () => isReadyAfter(refused))
      const said = states()
        .slice(refused)
        .map((each) => each['STATUS'] ?? '')
        .join(' ')
      assert.match(said, /refused: .*nonsense/)
      assert.equal((await fetch(`${server.url}/v2/`)).status, 200)
    })

    test('a loop that stands still beats no more', async () => {
      process.kill(server.pid, 'SIGSTOP')
      try {
        // What was under way is told; then two periods bring nothing.
        await new Promise((resolve) => setTimeout(resolve, watchdogMs))
        const seen = beats()
        await new Promise((resolve) => setTimeout(resolve, 2 * watchdogMs))
        assert.equal(beats(), seen)
      } finally {
        process.kill(server.pid, 'SIGCONT')
      }
      const seen = beats()
      await until('beats again', () => beats() > seen)
    })

    test('the end is announced, with the time that it may take', async () => {
      const { code } = await server.stop()
      assert.equal(code, 0)
      await until('stopping', () => states().at(-1)?.['STOPPING'] === '1')
      // server.shutdown_timeout, and some seconds for what follows it.
      assert.ok(Number(states().at(-1)?.['EXTEND_TIMEOUT_USEC']) > 30_000_000)
    })
  })
}
