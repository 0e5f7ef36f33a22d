// Goal: behind a proxy that uses its connections for everybody, nobody gets another's response.
// Method: nginx in front of the product; an attacker sends each case of a corpus, and a victim behind it
// asks for what only it asks for. A server that leaves bodies unread shows that the corpus finds one.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type Product, setups, useProduct } from '../http/product.ts'
import { descriptor, types } from '../http/sample-content.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { assertStatus, digestOf } from '../support/registry-client.ts'
import { needs } from '../support/tools.ts'
import { until } from '../support/until.ts'
import { type Front, startFront } from './nginx-front.ts'
import { type SmugglingCase, smugglingCases } from './smuggling-corpus.ts'

const secret = 'only-for-nobody'
const target = { put: '/v2/attacker/manifests/v1', get: '/v2/attacker/manifests/absent' }
// The second form swallows the head of whatever comes next on the connection.
const unfinished = 'GET /v2/secret/manifests/v1 HTTP/1.1\r\nHost: registry.test\r\nX-Hidden: '
const corpora = {
  'a whole request': smugglingCases({ ...target, hidden: `${unfinished}y\r\n\r\n` }),
  'the beginning of a request': smugglingCases({ ...target, hidden: unfinished }),
}

// An attacker may leave its request unfinished; then nobody answers for a while.
const attackMs = 300
const victims = 16

for (const { name, ...options } of setups('alone', 'node')) {
  // Most cases wait for an answer that does not come, so the tests wait together.
  const together = { ...needs('nginx'), concurrency: true }
  describe(`smuggling through nginx, ${name}`, together, () => {
    const product = useProduct(options)
    before(() => seed(product))

    for (const [what, cases] of Object.entries(corpora)) {
      for (const buffersRequests of [false, true]) {
        const how = buffersRequests ? 'buffered' : 'streamed'
        test(`${what} does not reach another client’s response: bodies ${how}`, async () => {
          assert.ok(cases.length >= 60)
          const front = await startFront({ port: product.server.port, buffersRequests })
          const failures = await attackAll(front, cases, askManifest).finally(() => front.stop())
          assert.deepEqual(failures, [])
          assertStatus(await product.client.call('GET', '/v2/secret/manifests/v1'), 200)
          assertStatus(await product.client.call('GET', '/v2/attacker/manifests/v1'), 404)
        })
      }
    }
  })
}

describe('smuggling through nginx, a server that can be fooled', needs('nginx'), () => {
  let front: Front | undefined
  const fooled = createServer()
  before(async () => {
    // It answers by the path, and takes the body of a GET for the next request.
    fooled.on('connection', (socket) => {
      socket.removeAllListeners('data')
      let text = ''
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString('latin1')
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          const target = /^[A-Z]+ (\S+)/.exec(text)?.[1] ?? '?'
          text = text.slice(end + 4)
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
        }
      })
      socket.on('error', () => socket.destroy())
    })
    await new Promise<void>((resolve) => fooled.listen(0, '127.0.0.1', resolve))
    const { port } = fooled.address() as AddressInfo
    front = await startFront({ port, buffersRequests: true })
  })
  after(async () => {
    await front?.stop()
    fooled.closeAllConnections()
    fooled.close()
  })

  test('the corpus finds it out', async () => {
    assert.ok(front)
    const sized = corpora['the beginning of a request'].filter(({ name }) =>
      name.startsWith('a sized body'),
    )
    const failures = await attackAll(front, sized, askPath)
    assert.ok(failures.length > 0)
  })
})

/** What a victim asks, and whether the answer is its own. */
type Ask = (victim: RawConnection, number: number) => Promise<void>

/** The failures, one line each. */
async function attackAll(
  front: Front,
  cases: readonly SmugglingCase[],
  ask: Ask,
): Promise<readonly string[]> {
  const failures: string[] = []
  let victim = await front.open()
  for (const [at, { name, bytes }] of cases.entries()) {
    const attacker = await front.open()
    try {
      attacker.write(Buffer.from(bytes, 'latin1'))
      const answered = (): boolean => attacker.isOver || attacker.pendingBytes > 0
      await until('an answer', answered, attackMs).catch(() => undefined)
      for (let round = 0; round < 3; round++) await ask(victim, (at + round) % victims)
      const seen = attacker.pending.toString('latin1')
      if (/victim-\d/.test(seen)) failures.push(`${name}: the attacker got ${seen.slice(0, 300)}`)
    } catch (error) {
      failures.push(`${name}: ${error}`)
      victim.close()
      victim = await front.open()
    } finally {
      attacker.close()
    }
  }
  victim.close()
  return failures
}

async function askManifest(victim: RawConnection, number: number): Promise<void> {
  victim.write(`GET /v2/victim/manifests/${number} HTTP/1.1\r\nHost: registry.test\r\n\r\n`)
  const { status, body } = await victim.reply()
  assert.equal(status, 200, `${body}`)
  assert.match(body.toString(), new RegExp(`"victim-${number}"`))
}

async function askPath(victim: RawConnection, number: number): Promise<void> {
  victim.write(`GET /victim-${number} HTTP/1.1\r\nHost: registry.test\r\n\r\n`)
  assert.equal((await victim.reply()).body.toString(), `/victim-${number}`)
}

async function seed(product: Product): Promise<void> {
  const blob = Buffer.from('kept bytes')
  assert.equal(digestOf(blob), descriptor(types.layer, blob).digest)
  for (const repository of ['victim', 'secret']) await product.client.pushBlob(repository, blob)
  const push = async (repository: string, tag: string, mark: string): Promise<void> => {
    const manifest = {
      schemaVersion: 2,
      mediaType: types.image,
      config: descriptor(types.config, blob),
      layers: [descriptor(types.layer, blob)],
      annotations: { mark },
    }
    const { answer } = await product.client.putManifest(repository, tag, manifest)
    assertStatus(answer, 201)
  }
  for (let number = 0; number < victims; number++) {
    await push('victim', String(number), `victim-${number}`)
  }
  await push('secret', 'v1', secret)
}
