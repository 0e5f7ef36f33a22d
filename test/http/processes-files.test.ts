// Goal: what processes cannot write together each writes well by itself, and what they must have in common
// they have. Method: the audit files of a whole run verified; TLS sessions resumed in the other process.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { runCommand } from '../support/command-line.ts'
import { seededBytes } from '../support/images.ts'
import { createPki, needsOpenssl } from '../support/pki.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type Processes, startProcesses } from './processes-scene.ts'
import { poll, temporaryFolder } from './product.ts'

describe('the audit log of several processes', () => {
  const folder = temporaryFolder()

  test('each has a whole chain of its own, also after it was killed', async () => {
    const file = join(folder.path, 'audit.log')
    const toml = `[audit]\nfile = ${JSON.stringify(file)}\nhash_chain = true\nallow = ["*"]\n`
    const processes = await startProcesses({ toml })
    for (const each of await processes.connectToEach()) {
      await each.push('audited/image', seededBytes(`audited-${each.pid}`, 1000))
    }
    const [, victim] = await processes.status()
    process.kill(victim?.pid ?? 0, 'SIGKILL')
    await processes.until(
      'a successor',
      (all) => all[1]?.restarts === 1 && all[1].state === 'serving',
    )
    for (const each of await processes.connectToEach()) {
      await each.push('audited/image', seededBytes(`again-${each.pid}`, 1000))
    }
    await processes.end()
    for (const name of ['audit.log', 'audit.2.log']) {
      const path = join(folder.path, name)
      assert.ok(existsSync(path), name)
      const { code, out, err } = await runCommand(['audit', 'verify', path], folder.path)
      assert.equal(code, 0, `${out}${err}`)
    }
  })
})

describe('TLS sessions of several processes', needsOpenssl, () => {
  const folder = temporaryFolder()

  /** Of the process that took the connection: how many sessions it has resumed. */
  async function resumed(processes: Processes): Promise<readonly number[]> {
    const { body } = await processes.admin('/status')
    const status = JSON.parse(body) as {
      readonly processes: readonly { readonly edge: { readonly handshakesResumed: number } }[]
    }
    return status.processes.map(({ edge }) => edge.handshakesResumed)
  }

  test('are resumed by whichever takes the connection, on the node transport', async () => {
    const { server } = await createPki(folder.path)
    const toml = [
      '[server]\ntransport = "node"',
      '[server.tls]',
      `server_certificate_bundle = ${JSON.stringify(server.bundleFile)}`,
      `server_private_key = ${JSON.stringify(server.keyFile)}\n`,
    ].join('\n')
    const processes = await startProcesses({ toml })
    const { port } = processes.server
    const first = await RawConnection.open({ port, tls: {} })
    const ticket = new Promise<Buffer>((resolve) => first.socket.once('session', resolve))
    first.write('GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.equal((await first.reply()).status, 200)
    const session = await ticket
    first.close()
    await poll(
      'sessions resumed by both',
      async () => {
        const opened = await Promise.all(
          Array.from({ length: 8 }, () => RawConnection.open({ port, tls: { session } })),
        )
        for (const each of opened) {
          assert.ok((each.socket as TLSSocket).isSessionReused())
          each.close()
        }
        return (await resumed(processes)).every((count) => count > 0) || undefined
      },
      30_000,
    )
    await processes.end()
  })
})
