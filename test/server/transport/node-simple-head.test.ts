// Goal: what the short reader takes for a request is the request that node's own parser sees, to the
// letter, and nothing more or less. Method: every head that it accepts is given to node:http as well.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { readSimpleHead } from '../../../src/server/transport/node/simple-head.ts'

interface Seen {
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyMap<string, string>
}

const server = createServer({ requireHostHeader: false, keepAliveTimeout: 0 })
let onRequest: (request: IncomingMessage) => void = () => {}
server.on('request', (request, response) => {
  onRequest(request)
  response.end()
})

/** Every request that node:http finds in these bytes, until it has to wait for more or gives up. */
async function nodeReads(bytes: Buffer): Promise<readonly Seen[]> {
  const seen: Seen[] = []
  onRequest = ({ method = '', url = '', rawHeaders }) => {
    const headers = new Map<string, string>()
    for (let at = 0; at < rawHeaders.length; at += 2) {
      headers.set((rawHeaders[at] ?? '').toLowerCase(), rawHeaders[at + 1] ?? '')
    }
    seen.push({ method, target: url, headers })
  }
  const socket = new Duplex({ read: () => {}, write: (_bytes, _encoding, done) => done() })
  socket.on('error', () => {})
  server.emit('connection', socket)
  socket.push(bytes)
  await new Promise((resolve) => setImmediate(resolve))
  socket.destroy()
  return seen
}

async function assertSameAsNode(bytes: Buffer): Promise<boolean> {
  const head = readSimpleHead(bytes)
  if (head === undefined) return false
  assert.deepEqual(await nodeReads(bytes), [{ ...head }], JSON.stringify(bytes.toString('latin1')))
  return true
}

const head = (...lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)

describe('simple heads', () => {
  after(() => server.close())

  test('the requests of clients are read', async () => {
    const usual = ['Host: registry.example.com:8443', 'User-Agent: a/1 (b; c)', 'Accept: a/b, */*']
    for (const [method, target] of [
      ['GET', '/v2/'],
      ['GET', '/v2/a/b/manifests/latest'],
      ['HEAD', '/v2/a/tags/list?n=10&last=x%20y'],
      ['GET', `/v2/a/blobs/sha256:${'0'.repeat(64)}`],
    ] as const) {
      const bytes = head(
        `${method} ${target} HTTP/1.1`,
        ...usual,
        'Authorization: Bearer e.y.J',
        'X:',
      )
      assert.equal(await assertSameAsNode(bytes), true)
      assert.equal(readSimpleHead(bytes)?.headers.get('x'), '')
    }
  })

  for (const [what, bytes] of [
    ['another method', head('PUT / HTTP/1.1', 'Host: a')],
    ['an older version', head('GET / HTTP/1.0', 'Host: a')],
    ['no Host', head('GET / HTTP/1.1', 'A: b')],
    ['two Hosts', head('GET / HTTP/1.1', 'Host: a', 'host: a')],
    ['a repeated header', head('GET / HTTP/1.1', 'Host: a', 'Accept: b', 'accept: c')],
    ['a length', head('GET / HTTP/1.1', 'Host: a', 'Content-Length: 0')],
    ['a coding', head('GET / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')],
    ['a wish for the connection', head('GET / HTTP/1.1', 'Host: a', 'Connection: close')],
    ['an expectation', head('GET / HTTP/1.1', 'Host: a', 'Expect: 100-continue')],
    ['an upgrade', head('GET / HTTP/1.1', 'Host: a', 'Upgrade: h2c')],
    ['a target in another form', head('GET http://a/ HTTP/1.1', 'Host: a')],
    ['a fragment', head('GET /#a HTTP/1.1', 'Host: a')],
    ['two spaces', head('GET  / HTTP/1.1', 'Host: a')],
    ['a space before the colon', head('GET / HTTP/1.1', 'Host : a')],
    ['a folded line', head('GET / HTTP/1.1', 'Host: a', ' b')],
    ['a tab', head('GET / HTTP/1.1', 'Host:\ta')],
    ['a control byte', head('GET / HTTP/1.1', 'Host: a', 'B: \u0000')],
    ['a byte beyond ASCII', head('GET / HTTP/1.1', 'Host: a', 'B: \u00e9')],
    ['bare line feeds', Buffer.from('GET / HTTP/1.1\nHost: a\n\n')],
    ['an empty line first', Buffer.from('\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n')],
    ['half a head', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n')],
    ['more behind it', Buffer.concat([head('GET / HTTP/1.1', 'Host: a'), Buffer.from('G')])],
    ['two requests', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2))],
    ['no headers', head('GET / HTTP/1.1')],
    [
      'too many headers',
      head('GET / HTTP/1.1', ...Array.from({ length: 101 }, (_, i) => `H${i}: a`)),
    ],
    ['too many bytes', head('GET / HTTP/1.1', 'Host: a', `A: ${'b'.repeat(16 * 1024)}`)],
  ] as const) {
    test(`${what} is left to node:http`, () => {
      assert.equal(readSimpleHead(bytes), undefined)
    })
  }

  test('whatever is accepted, node:http reads the same', async () => {
    // Pieces that matter to a parser, put together in all orders.
    const piece = fc.constantFrom(
      ...[
        'GET',
        'HEAD',
        'PUT',
        ' ',
        '  ',
        '/',
        '/a?b=c',
        '/#',
        '*',
        'HTTP/1.1',
        'HTTP/1.0',
        '\r\n',
      ],
      ...[
        '\n',
        '\r',
        '\t',
        ':',
        'Host',
        'host: a',
        'Accept: b',
        'Content-Length: 3',
        'X-Y:  z ',
        ';',
      ],
      ...[
        'Transfer-Encoding: chunked',
        'Connection: close',
        '\u0000',
        '\u00ff',
        'a',
        '_',
        '"',
        '(',
        '%',
      ],
    )
    const wild = fc.array(piece, { maxLength: 24 }).map((pieces) => pieces.join(''))
    const target = fc.stringMatching(/^\/[ -~]{0,12}$/)
    const line = fc.tuple(fc.stringMatching(/^[ -~]{1,6}$/), fc.stringMatching(/^[\t -~]{0,8}$/))
    const nearly = fc
      .tuple(fc.constantFrom('GET', 'HEAD', 'GE', 'GETS'), target, fc.array(line, { maxLength: 4 }))
      .map(([method, path, lines]) => {
        const headers = lines.map(([name, value]) => `${name}:${value}\r\n`).join('')
        return `${method} ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`
      })
    let accepted = 0
    const property = fc.asyncProperty(fc.oneof(nearly, wild), async (text) => {
      if (await assertSameAsNode(Buffer.from(text, 'latin1'))) accepted += 1
    })
    await fc.assert(property, { numRuns: 2000 })
    assert.ok(accepted > 50, `only ${accepted} were accepted`)
  })
})
