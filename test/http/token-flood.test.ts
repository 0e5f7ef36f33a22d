// Goal: who floods a server with wrong tokens is slowed down, and those who share the address go on.
// Method: forged registry tokens, refresh tokens and API keys from one loopback address, beside a client
// at work and a password.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type Server, startServer } from '../support/server.ts'
import { poll } from './product.ts'

const password = 'tuesday-fjord-lemon'
const ci = `Basic ${Buffer.from(`ci:${password}`).toString('base64')}`

describe('a flood of wrong tokens', () => {
  let server: Server
  before(async () => {
    server = await startServer({
      toml: `
[auth.token_service]
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
`,
    })
  })
  after(() => server.stop())

  async function send(
    localAddress: string,
    lines: readonly string[],
    body = '',
  ): Promise<{ readonly status: number; readonly text: string }> {
    const client = await RawConnection.open({ port: server.port, localAddress })
    try {
      const head = [...lines, 'Host: registry.test', `Content-Length: ${body.length}`]
      client.write(`${head.join('\r\n')}\r\n\r\n${body}`)
      const { status, body: bytes } = await client.reply()
      return { status, text: bytes.toString() }
    } finally {
      client.socket.destroy()
    }
  }

  const login = async (from: string, authorization: string): Promise<number> =>
    (await send(from, ['GET /v2/ HTTP/1.1', `Authorization: ${authorization}`])).status

  async function tokenFor(from: string): Promise<string> {
    const { text } = await send(from, ['GET /token HTTP/1.1', `Authorization: ${ci}`])
    return (JSON.parse(text) as { readonly token: string }).token
  }

  /** Good in all but its signature. */
  function forged(token: string, count: number): string {
    const [head, body, signature = ''] = token.split('.')
    const other = count.toString(36).padStart(4, '0')
    return `${head}.${body}.${other}${signature.slice(4)}`
  }

  async function renew(from: string, text: string): Promise<number> {
    const type = 'Content-Type: application/x-www-form-urlencoded'
    const body = new URLSearchParams({
      ...{ grant_type: 'refresh_token', service: 'keelson', client_id: 'test' },
      refresh_token: text,
    })
    return (await send(from, ['POST /token HTTP/1.1', type], body.toString())).status
  }

  const count = (statuses: readonly number[], status: number): number =>
    statuses.filter((each) => each === status).length

  test('is answered 429 for the most part, and good tokens of the address are good again soon', async () => {
    const from = '127.0.0.11'
    const token = await tokenFor(from)
    assert.equal(await login(from, `Bearer ${token}`), 200)
    const statuses: number[] = []
    for (let i = 0; i < 200; i += 1) statuses.push(await login(from, `Bearer ${forged(token, i)}`))
    assert.ok(count(statuses, 401) >= 40)
    assert.equal(count(statuses, 401) + count(statuses, 429), 200)
    assert.ok(count(statuses, 429) > 0, 'nothing was slowed down')
    assert.equal(await login(from, `Bearer ${token}`), 200)
    assert.equal(await login(from, ci), 200)
    const fresh = await tokenFor(from)
    await poll(
      'a fresh token is taken',
      async () => (await login(from, `Bearer ${fresh}`)) === 200 || undefined,
    )
    assert.equal(await login('127.0.0.12', `Bearer ${await tokenFor(from)}`), 200)
  })

  test('of refresh tokens is slowed down as well', async () => {
    const from = '127.0.0.13'
    const statuses: number[] = []
    for (let i = 0; i < 200; i += 1) statuses.push(await renew(from, `keelson_refresh_${i}`))
    assert.ok(count(statuses, 429) > 0, 'nothing was slowed down')
    assert.equal(count(statuses, 401) + count(statuses, 429), 200)
    assert.equal(await renew('127.0.0.14', 'keelson_refresh_1'), 401)
  })

  test('that is one and the same, again and again, slows nobody down', async () => {
    const from = '127.0.0.15'
    for (let i = 0; i < 100; i += 1) assert.equal(await renew(from, 'keelson_refresh_old'), 401)
    const token = await tokenFor(from)
    const old = forged(token, 1)
    for (let i = 0; i < 100; i += 1) assert.equal(await login(from, `Bearer ${old}`), 401)
    assert.equal(await login(from, `Bearer ${token}`), 200)
  })
})
