// Goal: whoever asks for more than the limits allow is told 429 and when to come back, and gets what it
// asks for when it does. Method: servers with small limits, on both transports.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  type Answer,
  assertRefused,
  assertStatus,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { setups } from './product.ts'

const password = 'tuesday-fjord-lemon'
const hash = hashPassword(password)

const limits = `
[auth.identity.alice]
username = "alice"
password = ${JSON.stringify(hash)}
[auth.identity.bob]
username = "bob"
password = ${JSON.stringify(hash)}
[limits.rate.lists]
per = "address"
actions = ["list-tags"]
requests = 4
period = "2s"
[limits.rate.manifests]
actions = ["get-manifest"]
requests = 2
period = "1h"
[limits.rate.logins]
per = "address"
actions = ["get-api-version"]
requests = 2
period = "1h"
[limits.rate.catalogue]
per = "registry"
actions = ["list-catalog"]
requests = 1
period = "1h"
[limits.rate.pushes]
actions = ["put-manifest"]
requests = 1
period = "30m"
`

function as(username: string, secret = password): Readonly<Record<string, string>> {
  const credential = Buffer.from(`${username}:${secret}`).toString('base64')
  return { authorization: `Basic ${credential}` }
}

function assertLimited(answer: Answer, limit: string): number {
  assert.deepEqual(assertRefused(answer, 429, 'TOOMANYREQUESTS'), { limit: `rate.${limit}` })
  assert.match(answer.body.toString(), new RegExp(`limit \\\\"${limit}\\\\"`))
  const retryAfter = answer.headers['retry-after'] ?? ''
  assert.match(retryAfter, /^[1-9]\d*$/)
  return Number(retryAfter)
}

for (const { name, toml = '' } of setups('alone', 'node')) {
  describe(`rate limits, ${name}`, () => {
    // Not `useProduct`, to which the warning of a wrong password is a fault.
    const product = {} as { server: Server; client: RegistryClient }
    before(async () => {
      product.server = await startServer({ toml: toml + limits })
      product.client = new RegistryClient(product.server.url)
    })
    after(async () => {
      product.client.close()
      assert.deepEqual(await product.server.stop(), { code: 0, signal: null })
    })
    const manifest = '/v2/some/app/manifests/v1'

    /** As clients do that take the answer at its word. */
    async function patiently(ask: () => Promise<Answer>): Promise<Answer> {
      for (let tries = 0; tries < 5; tries += 1) {
        const answer = await ask()
        if (answer.status !== 429) return answer
        const waitMs = Number(answer.headers['retry-after']) * 1000
        await new Promise((resolve) => setTimeout(resolve, waitMs))
      }
      throw new Error('refused five times')
    }

    test('requests beyond a limit are refused, and a client that waits as told goes on', async () => {
      const list = (): Promise<Answer> => product.client.get('/v2/none/app/tags/list')
      const answers = await Promise.all(Array.from({ length: 8 }, list))
      const refused = answers.filter(({ status }) => status === 429)
      assert.equal(refused.length, 4)
      for (const answer of refused) assert.equal(assertLimited(answer, 'lists'), 1)
      for (let each = 0; each < 3; each += 1) assertStatus(await patiently(list), 404)
    })

    test('HEAD counts as GET does, and failures count', async () => {
      const { client } = product
      assertStatus(await client.head(manifest), 404)
      assertStatus(await client.get(manifest), 404)
      assertStatus(await client.head(manifest), 429)
      assert.equal(assertLimited(await client.get(manifest), 'manifests'), 1800)
      assertStatus(await client.get('/v2/some/app/blobs/none'), 400, 'another action')
    })

    test('an identity has its own count; a wrong password has that of its address', async () => {
      const { client } = product
      assertLimited(await client.get(manifest, as('alice', 'wrong')), 'manifests')
      for (const who of ['alice', 'bob']) {
        assertStatus(await client.get(manifest, as(who)), 404)
        assertStatus(await client.get(manifest, as(who)), 404)
        assertLimited(await client.get(manifest, as(who)), 'manifests')
      }
    })

    test('an address beyond its limit is refused whatever password it shows', async () => {
      const { client } = product
      assertStatus(await client.get('/v2/', as('alice')), 200)
      assertRefused(await client.get('/v2/', as('alice', 'guess')), 401, 'UNAUTHORIZED')
      for (const secret of [password, 'guess']) {
        assertLimited(await client.get('/v2/', as('alice', secret)), 'logins')
      }
    })

    test('a limit on all counts all', async () => {
      const { client } = product
      assertStatus(await client.get('/v2/_catalog', as('alice')), 200)
      assertLimited(await client.get('/v2/_catalog', as('bob')), 'catalogue')
    })

    test('a refused push leaves the connection as it was', async (t) => {
      const connection = await RawConnection.open(product.server.port)
      t.after(() => connection.close())
      const body = 'x'.repeat(100)
      const head = 'Host: a\r\nContent-Type: application/vnd.oci.image.manifest.v1+json'
      for (const status of [400, 429, 429]) {
        connection.write(
          `PUT ${manifest} HTTP/1.1\r\n${head}\r\nContent-Length: 100\r\n\r\n${body}`,
        )
        assert.equal((await connection.reply()).status, status)
      }
    })
  })
}
