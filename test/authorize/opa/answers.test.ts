// Goal: an OPA allows by `true` and by nothing else, whatever it says, does or fails to do. Method: a
// scripted server that answers, lies and fails in each way, asked about every kind of action.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createTlsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { OpaConfig } from '../../../src/config/schema.ts'
import { createPki, needsOpenssl } from '../../support/pki.ts'
import { actionKinds } from '../scene.ts'
import { type Answer, deadUrl, openGuard, question, says, startScriptedOpa } from './scene.ts'

const whole = (status: number, body: string, headers: Record<string, string> = {}): Answer => {
  return (response) => void response.writeHead(status, headers).end(body)
}
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
const yes = '{"result":true}'

const liars: Readonly<Record<string, Answer>> = {
  'no result': says('{}'),
  'no result, but a decision id': says('{"decision_id":"d"}'),
  null: says('{"result":null}'),
  'the text "true"': says('{"result":"true"}'),
  'the number 1': says('{"result":1}'),
  'a list that holds true': says('{"result":[true]}'),
  'an empty object': says('{"result":{}}'),
  'allow as the text "true"': says('{"result":{"allow":"true"}}'),
  'allow as the text "yes"': says('{"result":{"allow":"yes"}}'),
  'allow as null': says('{"result":{"allow":null}}'),
  'allow as a list': says('{"result":{"allow":[true]}}'),
  'allow within allow': says('{"result":{"allow":{"allow":true}}}'),
  'allow in other letters': says('{"result":{"Allow":true}}'),
  'a reason that is no text': says('{"result":{"allow":true,"reason":["because"]}}'),
  'allow beside the result': says('{"allow":true}'),
  'the result in other letters': says('{"Result":true}'),
  'true alone': says('true'),
  'a list of answers': says('[{"result":true}]'),
  'duplicate results': says('{"result":false,"result":true}'),
  'duplicate allows': says('{"result":{"allow":false,"allow":true}}'),
  'a prototype': says('{"__proto__":{"result":true}}'),
  'a result with a prototype': says('{"result":{"__proto__":{"allow":true}}}'),
  'half of the JSON': says('{"result":tru'),
  'more after the JSON': says('{"result":true}}'),
  'two answers': says('{"result":true}{"result":true}'),
  nothing: says(''),
  'a page': says('<html>welcome</html>'),
  'a byte order mark': says('\ufeff{"result":true}'),
  'bytes that are no text': (response) =>
    void response.end(Buffer.from([...Buffer.from('{"result":true,"x":"'), 0xff, 0x22, 0x7d])),
  'much nesting': says(`{"x":${nested(100)},"result":true}`),
  'a huge answer': says(`{"result":true,"x":"${'x'.repeat(200_000)}"}`),
  'a huge answer of unknown length': (response) => {
    response.write('{"result":true,"x":"')
    response.end(`${'x'.repeat(200_000)}"}`)
  },
  'packed JSON': whole(200, yes, { 'content-encoding': 'br' }),
  '201': whole(201, yes),
  '204': (response) => void response.writeHead(204).end(),
  '206': whole(206, yes),
  '301': whole(301, yes, { location: '/elsewhere' }),
  '302': whole(302, yes, { location: '/elsewhere' }),
  '307 to itself': (response, { url }) =>
    void response.writeHead(307, { location: url ?? '' }).end(yes),
  '400': whole(400, '{"code":"invalid_parameter","message":"bad","result":true}'),
  '401': whole(401, yes),
  '403': whole(403, yes),
  '404': whole(404, yes),
  '500': whole(500, '{"code":"internal_error","message":"conflict","result":true}'),
  '503': whole(503, yes),
  'a connection that ends': (response) => void response.destroy(),
  'half of what was announced': (response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write(yes)
    setImmediate(() => response.destroy())
  },
  'an answer that is no HTTP': ({ socket }) => void socket?.end('{"result":true}\r\n\r\n'),
}

// Rules without a default deny in this way.
const undefinedOnes: ReadonlySet<string> = new Set([
  'no result',
  'no result, but a decision id',
  'an empty object',
  'allow in other letters',
  'allow beside the result',
  'the result in other letters',
])

async function neverAllows(
  t: TestContext,
  options: Partial<OpaConfig> & Pick<OpaConfig, 'url'>,
  expected: 'deny' | 'unavailable' = 'unavailable',
): Promise<void> {
  const { guard, tally } = await openGuard(t, options)
  const verdicts = await Promise.all(actionKinds.map(async (kind) => guard.ask(question(kind))))
  for (const { result, reason, isCached } of verdicts) {
    assert.equal(result, expected, reason ?? '')
    assert.equal(isCached, false)
    assert.ok(reason, 'it must say why')
  }
  assert.equal(tally.allow + tally.cached_allow, 0)
  assert.equal(tally.deny + tally.unavailable + tally.transport_error, actionKinds.length)
}

describe('no action is allowed by', () => {
  for (const [what, answer] of Object.entries(liars)) {
    test(what, async (t) => {
      const opa = await startScriptedOpa(t, answer)
      await neverAllows(t, { url: opa.url }, undefinedOnes.has(what) ? 'deny' : 'unavailable')
      assert.equal(opa.asked.length, actionKinds.length, 'asked once each, at one place')
    })
  }

  test('an OPA that hangs before it answers', async (t) => {
    const { url } = await startScriptedOpa(t, () => {})
    await neverAllows(t, { url, timeoutMs: 50 })
  })

  test('an OPA that hangs after `true`', async (t) => {
    const { url } = await startScriptedOpa(t, (response) => {
      response.writeHead(200, { 'content-length': yes.length + 1 })
      response.write(yes)
    })
    await neverAllows(t, { url, timeoutMs: 100 })
  })

  test('an OPA that is not there', async (t) => {
    await neverAllows(t, { url: await deadUrl() })
  })

  test(
    'an OPA that is asked in clear and speaks TLS, or the other way round',
    needsOpenssl,
    async (t) => {
      const { folder, server } = await pkiOf(t)
      const tls = createTlsServer({ cert: server.bundlePem, key: server.keyPem })
      const secure = await startScriptedOpa(t, says(yes), tls)
      await neverAllows(t, { url: secure.url.replace('https', 'http') })
      const plain = await startScriptedOpa(t, says(yes))
      const serverCaBundle = join(folder, 'server-ca', 'ca.pem')
      await neverAllows(t, { url: plain.url.replace('http', 'https'), serverCaBundle })
      await neverAllows(t, { url: secure.url })
      assert.deepEqual([...secure.asked, ...plain.asked], [], 'nobody may see a question')
      const { guard } = await openGuard(t, { url: secure.url, serverCaBundle })
      assert.equal((await guard.ask(question())).result, 'allow', 'or the test shows nothing')
    },
  )

  test('an OPA whose breaker is open, and one that was closed', async (t) => {
    const opa = await startScriptedOpa(t, whole(503, ''))
    const { guard, status, log, close, tally } = await openGuard(t, {
      url: opa.url,
      breakerFailures: 2,
    })
    await guard.ask(question())
    await guard.ask(question())
    assert.equal(status().breaker, 'open')
    assert.deepEqual(log, ['an OPA failed too often: all is denied for a while'])
    opa.answer = says(yes)
    const refused = await guard.ask(question())
    assert.equal(refused.result, 'unavailable')
    assert.equal(opa.asked.length, 2)
    assert.equal(tally.unavailable, 3)
    await close()
    assert.equal((await guard.ask(question())).result, 'unavailable')
  })
})

describe('an answer', () => {
  for (const [body, result, reason, decisionId] of [
    [yes, 'allow', null, null],
    ['{"result":false}', 'deny', null, null],
    ['{"result":true,"decision_id":"1-2"}', 'allow', null, '1-2'],
    ['{"result":false,"decision_id":"1-2"}', 'deny', null, '1-2'],
    ['{"result":true,"decision_id":7}', 'allow', null, null],
    ['{"result":{"allow":true}}', 'allow', null, null],
    ['{"result":{"allow":true,"more":[1]},"metrics":{}}', 'allow', null, null],
    ['{"result":{"allow":true,"reason":"admin"}}', 'allow', 'admin', null],
    ['{"result":{"allow":false,"reason":"frozen"},"decision_id":"x"}', 'deny', 'frozen', 'x'],
    ['{"decision_id":"x"}', 'deny', 'data.keelson.allow is undefined', 'x'],
    ['{"result":{"other":1}}', 'deny', 'data.keelson.allow.allow is undefined', null],
    [
      '{"result":"true","decision_id":"x"}',
      'unavailable',
      'data.keelson.allow is neither a boolean nor an object',
      'x',
    ],
  ] as const) {
    test(`${body} is ${result}`, async (t) => {
      const { url } = await startScriptedOpa(t, says(body))
      const { guard } = await openGuard(t, { url })
      const verdict = await guard.ask(question())
      assert.deepEqual(verdict, { result, reason, decisionId, isCached: false })
    })
  }

  test('that is no 200 gives its message as the reason', async (t) => {
    const { url } = await startScriptedOpa(t, liars['500']!)
    const { guard } = await openGuard(t, { url })
    assert.equal((await guard.ask(question())).reason, 'it answers 500 (conflict)')
  })

  test('500 for one input does not open the breaker for the others', async (t) => {
    const opa = await startScriptedOpa(t, liars['500']!)
    const { guard, status } = await openGuard(t, { url: opa.url, breakerFailures: 1 })
    for (let i = 0; i < 3; i++) await guard.ask(question())
    assert.equal(status().breaker, 'closed')
    opa.answer = says(yes)
    assert.equal((await guard.ask(question())).result, 'allow')
  })

  test('with a long reason or decision id is cut', async (t) => {
    const long = 'x'.repeat(10_000)
    const body = JSON.stringify({ result: { allow: false, reason: long }, decision_id: long })
    const { url } = await startScriptedOpa(t, says(body))
    const { guard } = await openGuard(t, { url })
    const { reason, decisionId } = await guard.ask(question())
    assert.equal(reason?.length, 1024)
    assert.equal(decisionId?.length, 128)
  })
})

async function pkiOf(t: TestContext): ReturnType<typeof createPki> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-opa-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return createPki(folder)
}
