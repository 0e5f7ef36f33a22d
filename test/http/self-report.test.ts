// Goal: metrics, health and readiness are on the public listener for those whom a policy allows them, and
// for nobody else; why a server is not ready is for the operator. Method: real servers, and each policy.
import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type Answer, assertRefused, assertStatus } from '../support/registry-client.ts'
import { poll, useProduct } from './product.ts'

const paths = ['/metrics', '/healthz', '/readyz'] as const

describe('a registry whose policies say nothing of it', () => {
  const product = useProduct({
    toml: `
[global.access_policy]
default = "deny"
rules = ["request.action == 'get-api-version'"]
`,
  })

  test('denies metrics, health and readiness, to GET and HEAD', async () => {
    assertStatus(await product.client.get('/v2/'), 200)
    for (const path of paths) {
      assertRefused(await product.client.get(path), 401, 'UNAUTHORIZED')
      assertStatus(await product.client.head(path), 401)
    }
  })
})

describe('a registry that allows it', () => {
  const product = useProduct({
    toml: `
[global.access_policy]
default = "deny"
rules = [
  "request.action in ['metrics', 'healthz', 'readyz'] && identity.client_ip == '127.0.0.1'",
]
`,
  })

  test('shows the metrics of the admin socket', async () => {
    const shown = await product.client.get('/metrics')
    assertStatus(shown, 200)
    assert.match(String(shown.headers['content-type']), /^text\/plain; version=0\.0\.4/)
    assert.equal(shown.headers['cache-control'], 'no-store')
    const names = (text: string): readonly string[] => text.match(/^# TYPE .*$/gm) ?? []
    const { body } = await product.admin('/metrics')
    assert.deepEqual(names(shown.body.toString()), names(body))
    assert.match(shown.body.toString(), /^keelson_build_info\{version="/m)
  })

  test('says that it lives and is ready, and no more', async () => {
    for (const [path, status] of [
      ['/healthz', 'ok'],
      ['/readyz', 'ready'],
    ] as const) {
      const answer = await product.client.get(path)
      assertStatus(answer, 200)
      assert.deepEqual(JSON.parse(answer.body.toString()), { status })
    }
  })

  test('answers HEAD without a body, and no other method', async () => {
    for (const path of paths) {
      const head = await product.client.head(path)
      assertStatus(head, 200)
      assert.equal(head.body.length, 0)
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const refused = await product.client.call(method, path)
        assertRefused(refused, 405, 'UNSUPPORTED')
        assert.equal(refused.headers['allow'], 'GET, HEAD')
      }
    }
  })

  test('is not ready where it cannot write, and tells the reason to the operator alone', async () => {
    const uploads = join(product.server.rootDir, '_keelson', 'uploads')
    await rename(uploads, `${uploads}.away`)
    const answer = await readyz('not ready', 503)
    assert.equal(answer.body.toString(), '{"status":"not ready"}\n')
    assertStatus(await product.client.get('/healthz'), 200)
    assert.match((await product.admin('/readyz')).body, /uploads|ENOENT/)
    await rename(`${uploads}.away`, uploads)
    await readyz('ready again', 200)
  })

  // An answer may be kept for a moment.
  function readyz(what: string, status: number): Promise<Answer> {
    return poll(what, async () => {
      const answer = await product.client.get('/readyz')
      return answer.status === status ? answer : undefined
    })
  }
})
