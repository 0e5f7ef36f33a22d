// Goal: a policy sees the client's own address behind proxies that are trusted, and nobody else can
// choose one. Method: a rule that lets one address in, asked from several loopback addresses with
// forged headers, with PROXY headers byte by byte, and through a real haproxy.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startDaemon } from '../support/daemon.ts'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { type Server, startServer } from '../support/server.ts'
import { startTlsServer, stopServer, usePki } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

const policy = `
[global.access_policy]
default = "deny"
rules = ["identity.client_ip == '198.51.100.7'", "request.action == 'start-upload'"]
`
const wanted = '198.51.100.7'
const other = '203.0.113.9'
const transports = ['uws', 'node'] as const

interface RawAnswer {
  /** 0 where the connection ended without a reply. */
  readonly status: number
  readonly text: string
}

/** Bytes from an address of this machine, and what comes back until the end. */
function exchange(port: number, from: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from })
    let text = ''
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part
    })
    socket.setTimeout(20_000, () => socket.destroy(new Error('no end of the connection in 20 s')))
    // A reset is an answer too.
    let fault: Error | undefined
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') fault = error
    })
    socket.once('close', () => {
      if (fault) reject(fault)
      else resolve({ status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0), text })
    })
    for (const part of parts) socket.write(part)
  })
}

const request = (...headers: readonly string[]): string =>
  ['GET /v2/ HTTP/1.1', 'Host: a', 'Connection: close', ...headers, '', ''].join('\r\n')

describe('X-Forwarded-For', () => {
  for (const transport of transports) {
    describe(`on ${transport}`, () => {
      let server: Server
      before(async () => {
        const trust = 'trusted_proxies = ["127.0.0.1", "127.0.1.0/24"]'
        const toml = `[server]\ntransport = "${transport}"\n${trust}\n${policy}`
        server = await startServer({ toml })
      })
      after(() => stopServer(server))

      const trusted = '127.0.0.1'
      const stranger = '127.0.0.2'
      const table: readonly (readonly [string, number, string, readonly string[]])[] = [
        ['a trusted proxy names the client', 200, trusted, [`X-Forwarded-For: ${wanted}`]],
        ['a proxy of a trusted network', 200, '127.0.1.9', [`X-Forwarded-For: ${wanted}`]],
        ['a stranger names it', 401, stranger, [`X-Forwarded-For: ${wanted}`]],
        ['no header', 401, trusted, []],
        ['the right-most counts', 200, trusted, [`X-Forwarded-For: ${other}, ${wanted}`]],
        ['and not the left-most', 401, trusted, [`X-Forwarded-For: ${wanted}, ${other}`]],
        [
          'all lines count as one',
          200,
          trusted,
          [`X-Forwarded-For: ${other}`, `x-forwarded-for: ${wanted}`],
        ],
        [
          'the first line alone does not',
          401,
          trusted,
          [`X-Forwarded-For: ${wanted}`, `X-FORWARDED-FOR: ${other}`],
        ],
        [
          'trusted hops are passed over',
          200,
          trusted,
          [`X-Forwarded-For: ${wanted}, 127.0.1.5`, 'X-Forwarded-For: 127.0.0.1'],
        ],
        ['a port is not part of it', 200, trusted, [`X-Forwarded-For: ${wanted}:4711`]],
        ['IPv4 in IPv6', 200, trusted, [`X-Forwarded-For: ::ffff:${wanted}`]],
        ['nonsense ends the chain', 401, trusted, [`X-Forwarded-For: ${wanted}, unknown`]],
        [
          'other headers mean nothing',
          401,
          trusted,
          [`X-Real-IP: ${wanted}`, `Forwarded: for=${wanted}`],
        ],
      ]
      for (const [what, status, from, headers] of table) {
        test(`${what}: ${status}`, async () => {
          const answer = await exchange(server.port, from, request(...headers))
          assert.equal(answer.status, status, answer.text)
        })
      }

      test('a forged host or scheme gets into no Location', async () => {
        const post = ['POST /v2/a/blobs/uploads/ HTTP/1.1', 'Host: a', 'Connection: close']
        const forged = ['X-Forwarded-Host: evil.test', 'X-Forwarded-Proto: gopher']
        const head = [...post, ...forged, 'Content-Length: 0', '', ''].join('\r\n')
        for (const from of [trusted, stranger]) {
          const { status, text } = await exchange(server.port, from, head)
          assert.equal(status, 202, text)
          assert.match(text, /^location: /im)
          assert.doesNotMatch(text, /gopher/)
          if (from === stranger) assert.doesNotMatch(text, /evil/)
        }
      })
    })
  }
})

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** A PROXY header version 2 for TCP over IPv4. Source: haproxy doc/proxy-protocol.txt §2.2. */
function proxyHeader(source: string, command = 0x21): Buffer {
  const body = Buffer.alloc(12)
  for (const [i, part] of source.split('.').entries()) body[i] = Number(part)
  body.set([127, 0, 0, 1], 4)
  body.writeUInt16BE(40_000, 8)
  body.writeUInt16BE(443, 10)
  return Buffer.concat([signature, Buffer.from([command, 0x11, 0, body.length]), body])
}

/** A haproxy on the host's port 443 that sends PROXY version 2 to `target`. */
async function startHaproxy(
  dir: string,
  host: PrivateHost,
  target: number,
): Promise<{ stop(): Promise<unknown> }> {
  const file = join(dir, `haproxy-${target}.cfg`)
  const lines = [
    ...['global', 'defaults', '  mode tcp', '  timeout connect 5s', '  timeout client 20s'],
    ...['  timeout server 20s', 'listen registry', '  bind 127.0.0.1:443'],
    `  server registry 127.0.0.1:${target} send-proxy-v2`,
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const [command = '', ...enter] = host.enter
  const accepts = ['-c', 'exec 3<>/dev/tcp/127.0.0.1/443']
  return startDaemon({
    command,
    args: [...enter, 'haproxy', '-db', '-f', file],
    probe: async () => ((await host.attempt('bash', accepts)).code === 0 ? true : undefined),
  })
}

describe('the PROXY protocol', needs('openssl', 'curl'), () => {
  const scene = usePki()
  const toml = `[server]\ntrusted_proxies = ["127.0.0.1"]\n${policy}`
  const listeners = ['tls = false\nproxy_protocol = true']

  test('is refused at start where uws is asked for, which names the other transport', async () => {
    const uws = toml.replace('[server]', '[server]\ntransport = "uws"')
    await assert.rejects(startServer({ listeners, toml: uws }), /set server\.transport = "node"/)
  })

  describe('on a plain listener', () => {
    let server: Server
    before(async () => {
      server = await startServer({ listeners, toml })
    })
    after(() => stopServer(server))
    const ask = (from: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> =>
      exchange(server.port, from, ...parts)

    test('names the client where a trusted proxy sends it', async () => {
      assert.equal((await ask('127.0.0.1', proxyHeader(wanted), request())).status, 200)
      assert.equal((await ask('127.0.0.1', proxyHeader(other), request())).status, 401)
    })

    test('is no reply for a peer that is not trusted', async () => {
      assert.equal((await ask('127.0.0.2', proxyHeader(wanted), request())).status, 0)
    })

    test('is no reply where it is missing', async () => {
      assert.equal((await ask('127.0.0.1', request())).status, 0)
    })

    test('is no reply in version 1', async () => {
      const first = `PROXY TCP4 ${wanted} 127.0.0.1 40000 443\r\n`
      assert.equal((await ask('127.0.0.1', first, request())).status, 0)
    })

    test('lets a trusted proxy ask for itself with LOCAL', async () => {
      const local = Buffer.concat([signature, Buffer.from([0x20, 0, 0, 0])])
      assert.equal((await ask('127.0.0.1', local, request())).status, 401)
    })

    test('together with X-Forwarded-For: the client of the header is not trusted', async () => {
      const answer = await ask(
        '127.0.0.1',
        proxyHeader(other),
        request(`X-Forwarded-For: ${wanted}`),
      )
      assert.equal(answer.status, 401, answer.text)
    })
  })

  describe('from haproxy', needsPrivateHostAnd('haproxy'), () => {
    // Whom haproxy sees is whoever connects to it: the rule is about that address.
    const own = toml.replace(wanted, '127.0.0.5')
    let host: PrivateHost
    before(async () => {
      host = await openPrivateHost(scene.dir)
    })
    after(() => host.close())

    async function assertOneEnters(target: number, scheme: string): Promise<void> {
      const haproxy = await startHaproxy(scene.dir, host, target)
      const trust = ['--cacert', scene.pki.serverCa.certificateFile]
      const common = ['-s', '-o', '/dev/null', '-w', '%{http_code}', ...trust]
      for (const [address, status] of [
        ['127.0.0.5', '200'],
        ['127.0.0.6', '401'],
      ] as const) {
        const url = `${scheme}://localhost:443/v2/`
        const { stdout } = await host.attempt('curl', [...common, '--interface', address, url])
        assert.equal(stdout, status, address)
      }
      await haproxy.stop()
    }

    test('it reaches policy', async () => {
      const server = await startServer({ wrap: host.enter, listeners, toml: own })
      assert.equal(server.listeners[0]?.transport, 'node')
      await assertOneEnters(server.port, 'http')
      await stopServer(server)
    })

    test('it reaches policy before TLS', async () => {
      const { server, port } = await startTlsServer(scene.pki, {
        wrap: host.enter,
        listener: 'proxy_protocol = true',
        toml: own,
      })
      assert.equal(server.listeners.find((each) => each.tls)?.transport, 'node')
      await assertOneEnters(port, 'https')
      await stopServer(server)
    })
  })
})
