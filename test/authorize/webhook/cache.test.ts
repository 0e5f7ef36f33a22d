// Goal: a remembered verdict is given for exactly the question that it answers. Method: random requests to
// a webhook whose answer follows from all that it hears, so that a verdict of another question shows.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import type { Asked, Question } from '../../../src/authorize/guard.ts'
import { questionText, sentHeaders } from '../../../src/authorize/webhook/sent-question.ts'
import { createWebhook } from '../../../src/authorize/webhook/webhook.ts'
import type { Call, CallResult } from '../../../src/outbound/contract.ts'
import { GuardCounts } from '../../../src/telemetry/guard-counts.ts'
import { around } from '../guard-contract.ts'
import { act, certified, requested, user } from '../scene.ts'

const statuses = [200, 401, 403, 500] as const

/** Depends on every header and on nothing else. */
function statusOf(headers: Readonly<Record<string, string>>): number {
  const text = JSON.stringify(Object.entries(headers).sort())
  return statuses[(createHash('sha256').update(text).digest()[0] ?? 0) % statuses.length] ?? 500
}

class Hook {
  readonly calls: Call[] = []

  call = async (call: Call): Promise<CallResult> => {
    this.calls.push(call)
    const status = statusOf(call.headers ?? {})
    return { kind: 'answer', status, headers: {}, body: Buffer.alloc(0) }
  }
}

function expected(question: Question, forwarded: readonly string[]): string {
  const status = statusOf(sentHeaders(questionText(question, question.asked.clientIp(), forwarded)))
  if (status === 200) return 'allow'
  return status === 500 ? 'unavailable' : 'deny'
}

// Few of each, so that questions come again; objects as the stages before keep them.
const identities: readonly Identity[] = [
  anonymous,
  user('alice'),
  user('alice', 'dev'),
  user('bob'),
  { ...user('alice') },
  certified({ commonNames: ['alice'] }),
  certified({ commonNames: ['alice'] }, user('alice')),
]
const actions = [
  requested('GET', '/v2/team/app/manifests/v1'),
  requested('GET', '/v2/team/app/manifests/v2'),
  requested('GET', '/v2/prod/app/manifests/v1'),
  act('list-catalog'),
  act('put-manifest'),
]
const askedParts = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'PUT'),
  path: fc.constantFrom('/v2/a', '/v2/b'),
  query: fc.constantFrom('', 'n=1'),
  isSecure: fc.boolean(),
  host: fc.constantFrom('a', 'b'),
  address: fc.constantFrom('192.0.2.1', '192.0.2.2'),
  tenant: fc.constantFrom('', 'blue', 'red'),
})
const step = fc.record({
  identity: fc.constantFrom(...identities),
  action: fc.constantFrom(...actions),
  asked: askedParts,
  times: fc.integer({ min: 1, max: 3 }),
  passMs: fc.constantFrom(0, 0, 0, 30, 70),
})

for (const forwardHeaders of [[], ['x-tenant']]) {
  test(`no question gets the verdict of another, with ${forwardHeaders.length} forwarded headers`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        let nowMs = 0
        const hook = new Hook()
        const guard = createWebhook({
          ...{ name: 'scanner', caller: hook, forwardHeaders, cacheTtlMs: 100 },
          ...{ counts: new GuardCounts('webhook'), elapsed: () => nowMs },
        })
        for (const { identity, action, asked: parts, times, passMs } of steps) {
          nowMs += passMs
          const { host, tenant, address, ...rest } = parts
          const asked: Asked = {
            ...rest,
            header: (name) => ({ host, 'x-tenant': tenant })[name] ?? '',
            clientIp: () => address,
          }
          const question = { identity, action, asked }
          const right = expected(question, forwardHeaders)
          for (let i = 0; i < times; i += 1) {
            assert.equal((await guard.ask(question)).result, right)
          }
        }
        assert.ok(hook.calls.length > 0)
      }),
      { numRuns: 150 },
    )
  })
}

function scene(cacheTtlMs = 1000) {
  const clock = { nowMs: 0 }
  const hook = new Hook()
  const counts = new GuardCounts('webhook')
  const guard = createWebhook({
    ...{ name: 'scanner', caller: hook, forwardHeaders: [], cacheTtlMs, counts },
    elapsed: () => clock.nowMs,
  })
  return { clock, hook, guard, tally: counts.tally('scanner') }
}

test('a verdict holds from when its question was put, not from when it was answered', async () => {
  const { clock, hook, guard } = scene()
  const slow = hook.call
  hook.call = async (call) => {
    clock.nowMs += 600
    return { ...(await slow(call)), status: 200 }
  }
  const question = { identity: user('alice'), action: act('get-manifest'), asked: around() }
  assert.equal((await guard.ask(question)).isCached, false)
  clock.nowMs += 399
  assert.ok(!(guard.ask(question) instanceof Promise))
  clock.nowMs += 1
  assert.ok(guard.ask(question) instanceof Promise)
})

test('every question is counted once, by how it ended', async () => {
  const { hook, guard, tally } = scene()
  const byStatus = new Map<string, Question>()
  for (let i = 0; byStatus.size < 3; i += 1) {
    const asked = around({ query: `n=${i}` })
    const question = { identity: anonymous, action: act('list-catalog'), asked }
    byStatus.set(expected(question, []), question)
  }
  for (const question of byStatus.values()) {
    await guard.ask(question)
    await guard.ask(question)
  }
  assert.deepEqual(tally, {
    ...{ allow: 1, deny: 1, unavailable: 2, transport_error: 0, cached_allow: 1, cached_deny: 1 },
  })
  const answers: readonly CallResult[] = [
    { kind: 'failed', problem: 'timeout', detail: '' },
    { kind: 'failed', problem: 'tls', detail: '' },
    { kind: 'failed', problem: 'open', detail: '' },
    { kind: 'failed', problem: 'busy', detail: '' },
  ]
  for (const answer of answers) {
    hook.call = async () => answer
    await guard.ask({ identity: user('new'), action: act('list-catalog'), asked: around() })
  }
  assert.equal(tally.transport_error, 2)
  assert.equal(tally.unavailable, 4)
})
