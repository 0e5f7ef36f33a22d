// Goal: hosts that have the same secret, CAs and lists resume one another's sessions, without Redis; a host
// with a new list refuses all tickets of before, and nobody who is revoked comes in by one; hosts whose
// clocks are in different epochs make a full handshake, and lose no client. Method: servers on the node
// transport with stores of their own, real handshakes, a clock that is wrong.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { type Certificate, createPki, needsOpenssl, type Pki } from '../support/pki.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { poll, temporaryFolder } from './product.ts'

const preload = fileURLToPath(new URL('../support/moved-clock.js', import.meta.url))
const hourMs = 3_600_000

interface Visit {
  readonly isResumed: boolean
  /** 404: the client is known, and there is nothing. Undefined where the connection was ended. */
  readonly status: number | undefined
  readonly session: Buffer | undefined
}

describe('TLS sessions of several hosts', needsOpenssl, () => {
  const { path } = temporaryFolder()
  const running: Server[] = []
  const secret = join(path, 'ticket-secret')
  let pki: Pki
  before(async () => {
    pki = await createPki(path)
    await writeFile(secret, randomBytes(32), { mode: 0o600 })
  })
  after(() => Promise.all(running.map((server) => server.stop())))

  async function start(crl: string, clock?: string): Promise<Server> {
    const text = JSON.stringify
    const server = await startServer({
      base: `
[server]
port = 0
transport = "node"
[server.tls]
server_certificate_bundle = ${text(pki.server.bundleFile)}
server_private_key = ${text(pki.server.keyFile)}
client_ca_bundle = ${text(pki.clientCa.certificateFile)}
client_auth = "optional"
client_crls = [${text(crl)}]
session_ticket_secret = ${text(secret)}
session_timeout = "1h"
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "deny"
rules = ["identity.certificate.common_names.size() > 0"]
`,
      ...(clock === undefined
        ? {}
        : { env: { NODE_OPTIONS: `--import=${preload}`, KEELSON_TEST_CLOCK: clock } }),
    })
    running.push(server)
    return server
  }

  /** The list that a host has, in a file of its own. */
  async function listFor(name: string): Promise<string> {
    const file = join(path, `${name}.crl`)
    await copyFile((await pki.clientCa.crl()).file, file)
    return file
  }

  async function visit(
    { port }: Server,
    shown: Certificate | undefined,
    session?: Buffer,
  ): Promise<Visit> {
    const identity = shown === undefined ? {} : { cert: shown.bundlePem, key: shown.keyPem }
    const resumed = session === undefined ? {} : { session }
    const tls = { minVersion: 'TLSv1.3', ...identity, ...resumed } as const
    const client = await RawConnection.open({ port, tls })
    const socket = client.socket as TLSSocket
    let given: Buffer | undefined
    socket.on('session', (ticket) => {
      given = ticket
    })
    client.write('GET /v2/a/manifests/x HTTP/1.1\r\nHost: a\r\n\r\n')
    await until('a reply or the end', () => client.isOver || client.pendingBytes > 0)
    const status = client.pendingBytes > 0 ? (await client.reply()).status : undefined
    const isResumed = socket.isSessionReused()
    // Who resumes gets no other ticket.
    if (status === 404 && !isResumed) await until('a ticket', () => given !== undefined)
    client.close()
    return { isResumed, status, session: given }
  }

  async function sessionOf(server: Server, shown: Certificate): Promise<Buffer> {
    const { session, status } = await visit(server, shown)
    assert.equal(status, 404)
    assert.ok(session)
    return session
  }

  test('are resumed on the other one, with the identity of the client', async () => {
    const crl = await listFor('same')
    const [a, b] = await Promise.all([start(crl), start(crl)])
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      // Between two epochs a session is not: the next one is.
      await poll('a session of the other host is resumed', async () => {
        const { isResumed, status } = await visit(to, undefined, await sessionOf(from, pki.client))
        return isResumed && status === 404 ? true : undefined
      })
    }
  })

  test('are worth nothing where the list is newer, and let in nobody who is revoked', async () => {
    const lists = [await listFor('a'), await listFor('b')] as const
    await copyFile(lists[0], lists[1])
    const [a, b] = await Promise.all([start(lists[0]), start(lists[1])])
    const leaver = await pki.clientCa.clientCertificate({ commonNames: ['leaver'] })
    const [left, stays] = [await sessionOf(a, leaver), await sessionOf(a, pki.client)]
    await pki.clientCa.revoke(leaver)
    const newer = (await pki.clientCa.crl()).file
    await copyFile(newer, lists[1])
    await poll('the host has the new list', async () =>
      (await visit(b, leaver)).status === undefined ? true : undefined,
    )
    // With a session alone there is nobody; with the certificate it is refused.
    const silent = await visit(b, undefined, left)
    assert.deepEqual([silent.isResumed, silent.status], [false, 401])
    assert.equal((await visit(b, leaver, left)).status, undefined)
    const other = await visit(b, pki.client, stays)
    assert.deepEqual([other.isResumed, other.status], [false, 404])
    // What the host with the new list gives out is worth nothing where the list is old, either.
    assert.ok(other.session)
    assert.equal((await visit(a, pki.client, other.session)).isResumed, false)
    await copyFile(newer, lists[0])
    await poll('the first host has it, too', async () =>
      (await visit(a, leaver, left)).status === undefined ? true : undefined,
    )
    await poll('they agree again', async () => {
      const session = await sessionOf(b, pki.client)
      return (await visit(a, undefined, session)).isResumed ? true : undefined
    })
  })

  test('of hosts whose clocks are apart are not resumed, and no client is lost', async () => {
    const crl = await listFor('clocks')
    const clock = join(path, 'clock')
    await writeFile(clock, `0 ${3 * hourMs}`)
    const [right, ahead] = await Promise.all([start(crl), start(crl, clock)])
    for (const [from, to] of [
      [right, ahead],
      [ahead, right],
    ] as const) {
      const session = await sessionOf(from, pki.client)
      const next = await visit(to, pki.client, session)
      assert.deepEqual([next.isResumed, next.status], [false, 404])
      await poll('what that one gave is resumed there', async () => {
        const own = await sessionOf(to, pki.client)
        const { isResumed, status } = await visit(to, undefined, own)
        return isResumed && status === 404 ? true : undefined
      })
    }
  })
})
