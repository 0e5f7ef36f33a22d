// Goal: threads for passwords that are ended in the midst of a hash cost the logins that they were busy with,
// which may be repeated, and nothing else of a server. Method: a whole server, with a way in to its threads.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hashSync } from '@node-rs/argon2'
import { Product, poll } from '../http/product.ts'
import { assertStatus, digestOf, RegistryClient } from '../support/registry-client.ts'
import { until } from '../support/until.ts'

const password = 'tuesday-fjord-lemon'
// Long enough that the end comes in its midst.
const slow = hashSync(password, { memoryCost: 262_144, timeCost: 6, parallelism: 1 })
const fast = hashSync(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 })
const hashes: Readonly<Record<string, string>> = { slow, fast, other: fast }

const identities = Object.entries(hashes).map(
  ([name, hash]) => `[auth.identity.${name}]\nusername = "${name}"\npassword = "${hash}"\n`,
)
const preload = fileURLToPath(new URL('./end-threads.js', import.meta.url))

function as(username: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

test('password threads that end in a hash take that login alone with them', async (t) => {
  const product = new Product()
  t.after(async () => {
    product.client.close()
    const exit = await product.server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, product.server.log.slice(-20).join('\n'))
  })
  await product.start({
    toml: identities.join(''),
    env: { NODE_OPTIONS: `--import=${preload}` },
  })
  const { client, server } = product
  const told = (text: string): Promise<void> =>
    until(text, () => server.log.some((line) => line.startsWith(text)))
  const blob = randomBytes(1 << 20)
  await client.pushBlob('app', blob)
  process.kill(server.pid, 'SIGUSR2')
  await told('{"noting"')
  assertStatus(await client.get('/v2/', as('fast')), 200)

  const patient = new RegistryClient(server.url)
  t.after(() => patient.close())
  const lost = patient.get('/v2/', as('slow'))
  await product.untilStatus('the login', ({ requestsInFlight }) => requestsInFlight > 0)
  process.kill(server.pid, 'SIGUSR2')
  const others = Promise.all([
    client.get(`/v2/app/blobs/${digestOf(blob)}`),
    client.get('/v2/', as('fast')),
    client.get('/v2/', as('other')),
    client.pushBlob('app', randomBytes(1 << 20)),
  ])
  const answer = assertStatus(await lost, 503)
  assert.match(answer.headers['retry-after'] ?? '', /^\d+$/)
  await told('{"ended"')
  const [pulled, remembered, other] = await others
  assert.deepEqual(assertStatus(pulled, 200).body, blob)
  assertStatus(remembered, 200)
  // It waited for the thread that ended, or for the one in its place.
  assert.ok(other.status === 200 || other.status === 503, String(other.status))
  const again = await poll('a login of each', async () => {
    const statuses = [await client.get('/v2/', as('slow')), await client.get('/v2/', as('other'))]
    return statuses.every(({ status }) => status === 200) || undefined
  })
  assert.ok(again)
  const ended = server.log.find((line) => line.startsWith('{"ended"')) ?? '{}'
  assert.ok((JSON.parse(ended) as { ended: number }).ended > 0)
})
