// Goal: one server listens in the plain and over TLS, on IPv4, IPv6 and a unix socket at once. Method:
// curl asks each of them, on both transports; a socket file of a dead server is replaced, others stay.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../support/run.ts'
import { type Server, startServer } from '../support/server.ts'
import { stopServer, tlsTable, usePki } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

const onSocket = (path: string, mode = ''): string => `socket = "${path}"\n${mode}`

describe('listeners', needs('openssl', 'curl'), () => {
  const scene = usePki()
  const statusOf = (...args: readonly string[]): Promise<string> =>
    run('curl', ['-sS', '-g', '-o', '/dev/null', '-w', '%{http_code}', ...args])

  for (const transport of ['uws', 'node']) {
    const start = (...listeners: readonly string[]): Promise<Server> =>
      startServer({
        listeners,
        toml: `[server]\ntransport = "${transport}"\n${tlsTable(scene.pki)}`,
      })

    test(`of all kinds serve side by side (${transport})`, async () => {
      const path = join(scene.dir, `${transport}.sock`)
      const ipv6 = 'bind_address = "::1"\nport = 0'
      const server = await start(
        'tls = false',
        '',
        `${ipv6}\ntls = false`,
        ipv6,
        onSocket(path, 'socket_mode = "0600"'),
      )
      const [plain, secure, plain6, secure6] = server.listeners
      const trust = ['--cacert', scene.pki.serverCa.certificateFile]
      assert.equal(await statusOf(`http://127.0.0.1:${plain?.port}/v2/`), '200')
      assert.equal(await statusOf(...trust, `https://127.0.0.1:${secure?.port}/v2/`), '200')
      assert.equal(await statusOf(`http://[::1]:${plain6?.port}/v2/`), '200')
      assert.equal(await statusOf(...trust, `https://[::1]:${secure6?.port}/v2/`), '200')
      assert.equal(await statusOf('--unix-socket', path, 'http://registry/v2/'), '200')
      assert.deepEqual(
        server.listeners.map(({ tls }) => tls),
        [false, true, false, true, false],
      )
      assert.equal((await stat(path)).mode & 0o777, 0o600)
      await stopServer(server)
      await assert.rejects(stat(path), { code: 'ENOENT' })
    })

    test(`replace the socket of a dead server and no other file (${transport})`, async () => {
      const path = join(scene.dir, `${transport}-left.sock`)
      const dead = await start(onSocket(path))
      dead.kill()
      await dead.exited
      assert.ok((await stat(path)).isSocket())
      const server = await start(onSocket(path))
      assert.equal(await statusOf('--unix-socket', path, 'http://registry/v2/'), '200')
      await stopServer(server)

      const file = join(scene.dir, `${transport}.txt`)
      await writeFile(file, 'mine')
      await assert.rejects(start(onSocket(file)), /ended before it was ready/)
      assert.equal(await readFile(file, 'utf8'), 'mine')

      const living = createServer().listen(path)
      await once(living, 'listening')
      await assert.rejects(start(onSocket(path)), /ended before it was ready/)
      assert.ok((await stat(path)).isSocket())
      living.close()
      rmSync(path, { force: true })
    })
  }
})
