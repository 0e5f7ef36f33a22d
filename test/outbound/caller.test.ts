// Goal: a call to another service is bounded in every way and never rejects. Method: a service under
// control to the byte, over TCP and TLS on loopback.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Secret } from '../../src/config/secret.ts'
import { openCaller } from '../../src/outbound/caller.ts'
import type { Call, Caller, CallerOptions, CallResult } from '../../src/outbound/contract.ts'
import { openRudeService, type RudeService, rudeManners } from '../support/rude-service.ts'
import { until, within } from '../support/until.ts'

const patient = 10_000
const fine = { status: 200, body: 'fine' }

function open(t: TestContext, url: string, changes: Partial<CallerOptions> = {}): Caller {
  const caller = openCaller({
    ...{ name: 'auth.webhook.scanner', url, timeoutMs: patient, concurrencyMax: 4 },
    elapsed: () => performance.now(),
    ...changes,
  })
  t.after(() => caller.close())
  return caller
}

async function scene(
  t: TestContext,
  changes: Partial<CallerOptions> = {},
  path = '/decide?x=1',
): Promise<{ readonly service: RudeService; readonly caller: Caller }> {
  const service = await openRudeService(fine)
  t.after(() => service.close())
  return { service, caller: open(t, `${service.url}${path}`, changes) }
}

function problemOf(result: CallResult): string {
  return result.kind === 'failed' ? result.problem : `answer ${result.status}`
}

function valuesOf(service: RudeService, name: string): readonly string[] {
  const { headers } = service.requests.at(-1) ?? { headers: [] }
  return headers.filter(([each]) => each === name).map(([, value]) => value)
}

test('an answer has its status, headers and body, and the request what was asked for', async (t) => {
  const { service, caller } = await scene(t)
  service.behave({ status: 201, headers: { 'X-One': 'a', 'x-two': 'b' }, body: 'made' })
  const result = await caller.call({ method: 'GET', headers: { 'x-mine': 'c' } })
  assert.ok(result.kind === 'answer')
  assert.equal(result.status, 201)
  assert.equal(result.headers['x-one'], 'a')
  assert.equal(result.body.toString(), 'made')
  const request = service.requests[0]
  assert.equal(request?.method, 'GET')
  assert.equal(request?.target, '/decide?x=1')
  assert.deepEqual(valuesOf(service, 'x-mine'), ['c'])
  assert.deepEqual(valuesOf(service, 'accept-encoding'), ['identity'])
  assert.deepEqual(valuesOf(service, 'authorization'), [])

  const posted = await caller.call({ method: 'POST', path: '/other', body: '{"input":1}' })
  assert.equal(problemOf(posted), 'answer 201')
  assert.equal(service.requests[1]?.target, '/other')
  assert.equal(service.requests[1]?.body, '{"input":1}')
})

test('connections are kept', async (t) => {
  const { service, caller } = await scene(t)
  for (let i = 0; i < 10; i += 1) {
    assert.equal(problemOf(await caller.call({ method: 'GET' })), 'answer 200')
  }
  // One that has just answered rests until the next turn of the event loop.
  assert.ok(service.connections <= 2, `${service.connections} connections`)
})

test('credentials are sent as Bearer or Basic, on each call', async (t) => {
  const token = new Secret('t0k.en+/=')
  const bearer = await scene(t, { auth: { kind: 'bearer', token } })
  for (let i = 0; i < 2; i += 1) {
    await bearer.caller.call({ method: 'GET' })
    assert.deepEqual(valuesOf(bearer.service, 'authorization'), ['Bearer t0k.en+/='])
  }
  const password = new Secret('pä:ss')
  const basic = await scene(t, { auth: { kind: 'basic', username: 'keelson', password } })
  await basic.caller.call({ method: 'GET' })
  const expected = Buffer.from('keelson:pä:ss').toString('base64')
  assert.deepEqual(valuesOf(basic.service, 'authorization'), [`Basic ${expected}`])
})

const problems: Readonly<Record<string, readonly string[]>> = {
  'never answers': ['timeout'],
  'stops after the head': ['timeout'],
  'drips its body': ['timeout'],
  'sends hints for ever': ['timeout', 'too-long'],
  'has a head that never ends': ['too-long'],
  'has a body beyond the bound': ['too-long'],
}

for (const manner of rudeManners) {
  test(`a service that ${manner} is a failure, and the call after it is not`, async (t) => {
    const { service, caller } = await scene(t, { timeoutMs: 500, concurrencyMax: 1 })
    service.behave(manner)
    const failed = await within('the end of the call', caller.call({ method: 'GET' }))
    assert.ok((problems[manner] ?? ['transport']).includes(problemOf(failed)), problemOf(failed))
    assert.equal(service.requests.length, 1)
    service.behave(fine)
    assert.equal(problemOf(await caller.call({ method: 'GET' })), 'answer 200')
    const status = caller.status()
    assert.deepEqual(status, { breaker: 'closed', running: 0, waiting: 0 })
  })
}

test('where nobody listens a call fails', async (t) => {
  const { service, caller } = await scene(t)
  await service.stop()
  const result = await caller.call({ method: 'GET' })
  assert.ok(result.kind === 'failed')
  assert.equal(result.problem, 'transport')
  assert.match(result.detail, /ECONNREFUSED/)
})

test('a body may be as long as the bound, and no byte longer', async (t) => {
  const { service, caller } = await scene(t, { bodyBytesMax: 1000 })
  service.behave({ status: 200, body: 'x'.repeat(1000) })
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'answer 200')
  service.behave({ status: 200, body: 'x'.repeat(1001) })
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'too-long')
})

test('an answer that is packed comes as it was sent', async (t) => {
  const { service, caller } = await scene(t)
  const packed = gzipSync('x'.repeat(10_000)).toString('base64')
  service.behave({ status: 200, headers: { 'Content-Encoding': 'gzip' }, body: packed })
  const result = await caller.call({ method: 'GET' })
  assert.ok(result.kind === 'answer')
  assert.equal(result.body.toString(), packed)
})

test('a redirect is an answer, and nobody goes there', async (t) => {
  const { service, caller } = await scene(t)
  const other = await openRudeService(fine)
  t.after(() => other.close())
  service.behave({ status: 307, headers: { Location: other.url } })
  const result = await caller.call({ method: 'GET' })
  assert.ok(result.kind === 'answer')
  assert.equal(result.status, 307)
  assert.equal(other.requests.length, 0)
})

test('proxies of the environment are not used', async (t) => {
  const proxy = await openRudeService(fine)
  t.after(() => proxy.close())
  const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NODE_USE_ENV_PROXY']
  for (const name of names) process.env[name] = proxy.url
  t.after(() => names.map((name) => delete process.env[name]))
  const { service, caller } = await scene(t)
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'answer 200')
  assert.equal(service.requests.length, 1)
  assert.equal(proxy.connections, 0)
})

test('a kept connection that ended meanwhile costs one more try, and only one', async (t) => {
  const { service, caller } = await scene(t, { concurrencyMax: 1 })
  await caller.call({ method: 'GET' })
  service.behave(({ connection }) => (connection === 1 ? 'closes at once' : fine))
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'answer 200')
  assert.equal(service.requests.length, 3)
  service.behave('closes at once')
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'transport')
  assert.equal(service.requests.length, 5)
})

test('an answer that was begun is not asked for again', async (t) => {
  const { service, caller } = await scene(t)
  await caller.call({ method: 'GET' })
  service.behave('ends its body early')
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'transport')
  assert.equal(service.requests.length, 2)
})

test('a call that waits for its turn waits on its own time', async (t) => {
  const { service, caller } = await scene(t, { concurrencyMax: 1, timeoutMs: 500 })
  service.behave('never answers')
  const both = [caller.call({ method: 'GET' }), caller.call({ method: 'GET' })]
  assert.deepEqual(caller.status(), { breaker: 'closed', running: 1, waiting: 1 })
  const results = await Promise.all(both)
  assert.deepEqual(results.map(problemOf), ['timeout', 'timeout'])
  assert.ok(service.requests.length <= 2)
  assert.deepEqual(caller.status(), { breaker: 'closed', running: 0, waiting: 0 })
})

test('calls beyond those that may wait are refused at once, and the others are made in order', async (t) => {
  const { service, caller } = await scene(t, { concurrencyMax: 2, waitingMax: 3 })
  service.behave('never answers')
  const paths = ['/1', '/2', '/3', '/4', '/5']
  const calls = paths.map((path) => caller.call({ method: 'GET', path }))
  for (let i = 0; i < 3; i += 1) {
    assert.equal(problemOf(await caller.call({ method: 'GET', path: '/6' })), 'busy')
  }
  for (const open of [2, 2, 1]) {
    await until('requests', () => service.open === open)
    service.release(fine)
  }
  assert.deepEqual((await Promise.all(calls)).map(problemOf), Array(5).fill('answer 200'))
  assert.equal(service.openMax, 2)
  const asked = service.requests.map(({ target }) => target)
  assert.deepEqual([...asked].sort(), paths)
  assert.deepEqual([...asked.slice(0, 2)].sort(), ['/1', '/2'])
})

test('who asks much leaves their turns to the others', async (t) => {
  const { service, caller } = await scene(t, { concurrencyMax: 1, waitingMax: 4 })
  service.behave('never answers')
  const call = (who: string, path: string): Promise<CallResult> =>
    caller.call({ method: 'GET', path, who })
  const greedy = ['/1', '/2', '/3', '/4', '/5', '/6'].map((path) => call('greedy', path))
  const modest = [call('modest', '/m1'), call('other', '/o1')]
  const none = await Promise.all([greedy[5], greedy[4], greedy[3]])
  assert.deepEqual(
    none.map((each) => each && problemOf(each)),
    ['busy', 'busy', 'busy'],
  )
  assert.deepEqual(caller.status(), { breaker: 'closed', running: 1, waiting: 4 })
  for (const count of [1, 2, 3, 4, 5]) {
    await until('a request', () => service.requests.length === count && service.open === 1)
    service.release(fine)
  }
  const results = await Promise.all([...greedy.slice(0, 3), ...modest])
  assert.deepEqual(results.map(problemOf), Array(5).fill('answer 200'))
  const asked = service.requests.map(({ target }) => target)
  assert.deepEqual(asked, ['/1', '/2', '/m1', '/o1', '/3'])
  assert.deepEqual(caller.status(), { breaker: 'closed', running: 0, waiting: 0 })
})

test('calls that waited too long are not begun, and are no fault of the service', async (t) => {
  let nowMs = 0
  const { service, caller } = await scene(t, {
    ...{ concurrencyMax: 1, elapsed: () => nowMs },
    breaker: { failures: 1, cooldownMs: patient },
  })
  service.behave('never answers')
  const calls = [caller.call({ method: 'GET' }), caller.call({ method: 'GET' })]
  await until('the first', () => service.open === 1)
  nowMs = patient / 2 + 1
  service.release(fine)
  assert.deepEqual((await Promise.all(calls)).map(problemOf), ['answer 200', 'timeout'])
  assert.equal(service.requests.length, 1)
  assert.equal(caller.status().breaker, 'closed')
})

test('a call that had less than its time says nothing about the service', async (t) => {
  let nowMs = 0
  const { service, caller } = await scene(t, {
    ...{ concurrencyMax: 1, timeoutMs: 500, elapsed: () => nowMs },
    breaker: { failures: 1, cooldownMs: patient },
  })
  service.behave('never answers')
  const calls = [caller.call({ method: 'GET' }), caller.call({ method: 'GET' })]
  await until('the first', () => service.open === 1)
  nowMs = 100
  service.release(fine)
  assert.deepEqual((await Promise.all(calls)).map(problemOf), ['answer 200', 'timeout'])
  assert.equal(service.requests.length, 2)
  assert.equal(caller.status().breaker, 'closed')
  // One that had it all does.
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'timeout')
  assert.equal(caller.status().breaker, 'open')
})

test('what is no header or no path fails the call and nothing else', async (t) => {
  const { service, caller } = await scene(t, { concurrencyMax: 1 })
  const calls: readonly Call[] = [
    ...['a\r\nx-injected: 1', 'a\nb', 'snow ☃', 'a\0', 'a\x7f'].map((value): Call => {
      return { method: 'GET', headers: { 'x-name': value } }
    }),
    ...['', 'a b', 'a:', 'x-ä', 'Host', 'host', 'content-length', 'transfer-encoding'].map(
      (name): Call => ({ method: 'GET', headers: { [name]: '1' } }),
    ),
    ...['', 'decide', '/a b', '/a\r\nx-injected:', '/ä'].map((path): Call => {
      return { method: 'POST', path }
    }),
  ]
  for (const each of calls) {
    const result = await caller.call(each)
    assert.equal(problemOf(result), 'transport', JSON.stringify(each))
  }
  assert.equal(service.requests.length, 0)
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'answer 200')
  assert.deepEqual(valuesOf(service, 'x-injected'), [])
})

test('failures open the circuit breaker, and after its cooldown one call tries', async (t) => {
  let nowMs = 0
  const states: string[] = []
  const { service, caller } = await scene(t, {
    breaker: { failures: 2, cooldownMs: 1000 },
    elapsed: () => nowMs,
    onBreaker: (state) => states.push(state),
  })
  const call = async (): Promise<string> => problemOf(await caller.call({ method: 'GET' }))
  service.behave({ status: 404 })
  for (let i = 0; i < 3; i += 1) assert.equal(await call(), 'answer 404')
  service.behave({ status: 500 })
  assert.equal(await call(), 'answer 500')
  service.behave('resets the connection')
  assert.equal(await call(), 'transport')
  const asked = service.requests.length
  assert.equal(await call(), 'open')
  assert.equal(service.requests.length, asked)
  assert.equal(caller.status().breaker, 'open')
  nowMs = 1000
  assert.equal(await call(), 'transport')
  assert.equal(await call(), 'open')
  nowMs = 2000
  service.behave(fine)
  assert.equal(await call(), 'answer 200')
  assert.equal(await call(), 'answer 200')
  assert.deepEqual(states, ['open', 'half-open', 'open', 'half-open', 'closed'])
})

test('calls that wait when the circuit breaker opens are refused, however many', async (t) => {
  const { service, caller } = await scene(t, {
    ...{ concurrencyMax: 1, waitingMax: 20_000, breaker: { failures: 1, cooldownMs: patient } },
  })
  service.behave('closes at once')
  const calls = Array.from({ length: 20_000 }, () => caller.call({ method: 'GET' }))
  const results = (await Promise.all(calls)).map(problemOf)
  assert.equal(results.filter((problem) => problem === 'open').length, 19_999)
  assert.equal(service.requests.length, 1)
})

test('a line that is full says nothing about the service', async (t) => {
  const { service, caller } = await scene(t, {
    ...{ concurrencyMax: 1, waitingMax: 0, breaker: { failures: 1, cooldownMs: patient } },
  })
  service.behave('never answers')
  const first = caller.call({ method: 'GET' })
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'busy')
  await until('a request', () => service.open === 1)
  service.release(fine)
  assert.equal(problemOf(await first), 'answer 200')
  assert.equal(caller.status().breaker, 'closed')
})

test('closing ends what runs and what waits, and all connections', async (t) => {
  const { service, caller } = await scene(t, { concurrencyMax: 2 })
  service.behave('never answers')
  const calls = Array.from({ length: 5 }, () => caller.call({ method: 'GET' }))
  await until('requests', () => service.open === 2)
  await caller.close()
  assert.deepEqual((await Promise.all(calls)).map(problemOf), Array(5).fill('transport'))
  await until('no connection', () => service.open === 0)
  assert.equal(service.requests.length, 2)
  assert.equal(problemOf(await caller.call({ method: 'GET' })), 'transport')
})

test('an address or a credential that is none is refused by its key, without the secret', () => {
  const token = (text: string): CallerOptions['auth'] => {
    return { kind: 'bearer', token: new Secret(text) }
  }
  const basic = (username: string): CallerOptions['auth'] => {
    return { kind: 'basic', username, password: new Secret('hunter2') }
  }
  const cases: ReadonlyArray<readonly [url: string, auth: CallerOptions['auth'], RegExp]> = [
    ['nonsense', undefined, /\.url: expected a URL; found "nonsense"$/],
    ['ftp://host/', undefined, /\.url: expected an http or https URL; found ftp:$/],
    [`https://user:${'hunter2'}@host/`, undefined, /\.url: expected a URL without a user$/],
    ['https://host/#hunter2', undefined, /\.url: expected a URL without a fragment$/],
    ['http://192.0.2.1/', token('hunter2'), /\.url: credentials .* expected an https URL$/],
    ['http://localhost.test/', basic('u'), /\.url: credentials .* expected an https URL$/],
    ['https://host/', token('hunter2\n'), /\.bearer_token: expected visible ASCII/],
    ['https://host/', basic('a:b'), /\.username: expected no colon/],
    ['https://host/', basic('a\nb'), /\.username: expected no colon/],
  ]
  const elapsed = (): number => 0
  for (const [url, auth, message] of cases) {
    const options = { name: 'auth.webhook.x', url, timeoutMs: 1, concurrencyMax: 1, elapsed }
    assert.throws(
      () => openCaller(auth === undefined ? options : { ...options, auth }),
      (error: Error) => {
        assert.match(error.message, message)
        assert.ok(error.message.startsWith('auth.webhook.x.'))
        assert.ok(!error.message.includes('hunter2'), error.message)
        return true
      },
    )
  }
})
