// Goal: each limit counts whom and what it says, before anything is spent on a refused request.
// Method: logins of the test's own, an injected clock; a table of limits and callers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { RateLimitConfig } from '../../src/config/schema.ts'
import { openBucketTable } from '../../src/limit/bucket-table.ts'
import { RateLimits } from '../../src/limit/rate-limits.ts'
import { OciError } from '../../src/oci/error.ts'
import type { Action } from '../../src/route/action.ts'
import { route } from '../../src/route/route.ts'
import { LimitCounts } from '../../src/telemetry/limit-counts.ts'

const digest = `sha256:${'0'.repeat(64)}`
const pull = route({ method: 'GET', path: '/v2/a/manifests/v1', query: '' })
const probe = route({ method: 'HEAD', path: '/v2/a/manifests/v1', query: '' })
const blob = route({ method: 'GET', path: `/v2/a/blobs/${digest}`, query: '' })

const alice: Identity = { ...anonymous, username: 'alice', id: 'ci', authMethod: 'basic' }
const bob: Identity = { ...anonymous, username: 'bob', id: 'ci', authMethod: 'basic' }

interface Ask {
  readonly action?: Action
  readonly address?: string
  readonly login?: () => Identity | Promise<Identity>
}

function limited(...rates: readonly Partial<RateLimitConfig>[]) {
  const clock = { ms: 5000 }
  const counts = new LimitCounts()
  let logins = 0
  const limits = new RateLimits(
    rates.map((rate, index) => ({
      ...{ name: `n${index}`, per: 'identity', actions: [], requests: 2, periodMs: 60_000 },
      ...{ burst: undefined, shared: false },
      ...rate,
    })),
    { open: openBucketTable, now: () => clock.ms, counts },
  )
  const ask = ({ action = pull, address = '192.0.2.1', login = () => anonymous }: Ask) =>
    limits.admit(
      action,
      () => address,
      () => {
        logins += 1
        return login()
      },
    )
  const admit = (asked: Ask = {}): void => assert.ok(!(ask(asked) instanceof Promise))
  const admitLater = async (asked: Ask): Promise<Identity> => ask(asked)
  return { admit, admitLater, clock, counts, logins: () => logins }
}

function refusal(ask: () => unknown): OciError {
  try {
    ask()
  } catch (error) {
    assert.ok(error instanceof OciError, String(error))
    assert.equal(error.code, 'TOOMANYREQUESTS')
    return error
  }
  throw new assert.AssertionError({ message: 'it was admitted' })
}

test('a refusal is a 429 that names the limit and says in whole seconds when to come back', () => {
  const { admit, clock, counts } = limited({ name: 'pulls', requests: 2, periodMs: 60_000 })
  admit()
  admit()
  const refused = refusal(admit)
  assert.equal(refused.status, 429)
  assert.match(refused.message, /limit "pulls" per identity/)
  assert.deepEqual(refused.headers, [['Retry-After', '30']])
  assert.deepEqual(refused.detail, { limit: 'rate.pulls' })
  clock.ms += 29_001
  assert.deepEqual(refusal(admit).headers, [['Retry-After', '1']])
  clock.ms += 999
  admit()
  assert.deepEqual(counts.refusals(), [['rate.pulls', 2]])
  assert.deepEqual(counts.keys(), [['rate.pulls', 1]])
})

test('an address beyond its limit is refused before its credentials are looked at', () => {
  const { admit, logins } = limited({ per: 'address' })
  admit({ login: () => alice })
  admit({ login: () => bob })
  refusal(() => admit({ login: () => alice }))
  assert.equal(logins(), 2)
  admit({ address: '192.0.2.2' })
})

test('an IPv6 network counts as one address', () => {
  const { admit } = limited({ per: 'address' })
  admit({ address: '2001:db8:0:7::1' })
  admit({ address: '2001:db8:0:7:ffff::2' })
  refusal(() => admit({ address: '2001:db8:0:7::3' }))
  admit({ address: '2001:db8:0:8::1' })
})

test('an identity counts wherever it comes from, and is no other one', () => {
  const { admit } = limited({})
  admit({ login: () => alice, address: '192.0.2.1' })
  admit({ login: () => alice, address: '192.0.2.2' })
  refusal(() => admit({ login: () => alice, address: '192.0.2.3' }))
  admit({ login: () => bob })
  admit()
})

test('who has no username counts by id, certificate or token, and none of them is another one', () => {
  const certificate = {
    ...{ commonNames: [], organizations: [], sans: { dns: [], uri: [], email: [] }, serial: '1' },
    ...{ fingerprintSha256: 'x', notAfterMs: 0 },
  }
  const callers: readonly Identity[] = [
    { ...anonymous, username: 'x' },
    { ...anonymous, id: 'x' },
    { ...anonymous, certificate },
    { ...anonymous, tokenId: 'x' },
    { ...anonymous, username: '' },
  ]
  const { admit } = limited({ requests: 1 })
  for (const caller of callers) admit({ login: () => caller, address: 'x' })
  for (const caller of callers) refusal(() => admit({ login: () => caller, address: 'x' }))
})

test('the anonymous count by address, and so do those whose login is refused', async () => {
  const wrong = (): never => {
    throw new OciError('UNAUTHORIZED')
  }
  const { admit, admitLater } = limited({ requests: 3 })
  admit()
  assert.throws(() => admit({ login: wrong }), { code: 'UNAUTHORIZED' })
  await assert.rejects(admitLater({ login: async () => wrong() }), { code: 'UNAUTHORIZED' })
  refusal(admit)
  assert.throws(() => admit({ login: wrong }), { code: 'TOOMANYREQUESTS' })
  admit({ address: '192.0.2.2' })
  admit({ login: () => alice })
})

test('a login that takes its time is followed by its limits', async () => {
  const { admitLater } = limited({ requests: 1 })
  const login = (): Promise<Identity> => Promise.resolve(alice)
  assert.equal(await admitLater({ login }), alice)
  await assert.rejects(admitLater({ login }), { code: 'TOOMANYREQUESTS' })
})

test('an address that is forgotten during the login was asked for before it', async () => {
  const counts = new LimitCounts()
  const limits = new RateLimits(
    [
      {
        ...{ name: 'n', per: 'identity', actions: [] },
        requests: 1,
        periodMs: 60_000,
        ...{ burst: undefined, shared: false },
      },
    ],
    { open: openBucketTable, now: () => 0, counts },
  )
  for (const status of ['admitted', 'refused']) {
    let address = '192.0.2.1'
    const admitted = limits.admit(
      pull,
      () => address,
      async () => anonymous,
    )
    address = ''
    if (status === 'admitted') await admitted
    else await assert.rejects(async () => admitted, { code: 'TOOMANYREQUESTS' })
  }
})

test('a limit counts its actions alone, HEAD with GET', () => {
  const { admit } = limited({ actions: ['get-manifest'] })
  admit({ action: pull })
  admit({ action: probe })
  refusal(() => admit({ action: probe }))
  for (let each = 0; each < 10; each += 1) admit({ action: blob })
})

test('the limit of all is used up by all, but not by those beyond their own', () => {
  const { admit } = limited({ name: 'all', per: 'registry', requests: 5 }, { requests: 2 })
  for (let each = 0; each < 10; each += 1) {
    try {
      admit({ login: () => alice })
    } catch {}
  }
  admit({ login: () => bob })
  admit({ login: () => bob })
  admit()
  assert.match(refusal(admit).message, /"all" per registry/)
})

test('of several limits all have to allow, and a refusal takes from none', () => {
  const { admit, clock } = limited(
    { name: 'long', requests: 3, periodMs: 3_600_000 },
    { name: 'short', requests: 1, periodMs: 1000 },
  )
  for (let each = 0; each < 3; each += 1) {
    admit()
    assert.match(refusal(admit).message, each < 2 ? /"short"/ : /"long"/)
    clock.ms += 1000
  }
  const refused = refusal(admit)
  assert.match(refused.message, /"long"/)
  assert.deepEqual(refused.headers, [['Retry-After', '1197']])
})

test('a burst of its own is what comes at once', () => {
  const { admit, clock } = limited({ requests: 1, periodMs: 1000, burst: 4 })
  for (let each = 0; each < 4; each += 1) admit()
  refusal(admit)
  clock.ms += 1000
  admit()
  refusal(admit)
})

test('who has no address, on a unix socket, and no identity is not counted', () => {
  const { admit, counts } = limited({}, { per: 'address' })
  for (let each = 0; each < 10; each += 1) admit({ address: '' })
  assert.deepEqual(counts.keys(), [
    ['rate.n0', 0],
    ['rate.n1', 0],
  ])
})
