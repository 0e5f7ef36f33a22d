// Goal: each kind of event becomes the record that docs/audit.md promises, with nothing secret and
// nothing without end in it, and only those are written that were asked for. Method: events told to an
// audit log over a file, and what it then holds.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type Audit, type AuditConfig, openAudit, type PlainLog } from '../../src/audit/audit.ts'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import { createAuthorize } from '../../src/authorize/authorize.ts'
import type { Asked, Guard } from '../../src/authorize/guard.ts'
import { OciError } from '../../src/oci/error.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { act, bearer, certified, compiled, digest, policy, user } from '../authorize/scene.ts'
import { openFolder, type ReadRecord, recordsIn } from './scene.ts'

type Context = Parameters<typeof openFolder>[0]

const secret = 'c2VjcmV0LXRoaW5n'
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/

const config: AuditConfig = {
  ...{ file: undefined, allow: [], onFull: 'refuse', queueMax: 1_000 },
  ...{ hashChain: false, sync: 'none', anonymous: true },
}

const silent: PlainLog = {
  decision: () => {},
  login: () => {},
  token: () => {},
  tokenAdmin: () => {},
}

interface Opened {
  readonly audit: Audit
  /** Ends it. */
  records(): Promise<readonly ReadRecord[]>
}

async function open(t: Context, options: Partial<AuditConfig> = {}): Promise<Opened> {
  const file = join(await openFolder(t), 'audit.jsonl')
  const audit = await openAudit({ ...config, file, ...options }, partsWith(silent))
  const records = async (): Promise<readonly ReadRecord[]> => {
    await audit.close()
    return recordsIn(file)
  }
  return { audit, records }
}

function partsWith(plain: PlainLog): Parameters<typeof openAudit>[1] {
  return {
    ...{ plain, log: createLog({ level: 'silent', format: 'json' }).log },
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    elapsed: () => performance.now(),
    randomUuid: () => crypto.randomUUID(),
  }
}

function request(parts: Partial<Asked> = {}, authorization = ''): Asked {
  const headers: Readonly<Record<string, string>> = { 'user-agent': 'docker/27.1', authorization }
  return {
    ...{ method: 'PUT', path: '/v2/team/app/manifests/v1', isSecure: true },
    query: `token=${secret}`,
    header: (name) => headers[name] ?? '',
    clientIp: () => '192.0.2.7',
    ...parts,
  }
}

function authorizeWith(audit: Audit, rules: readonly string[], guards: readonly Guard[] = []) {
  return createAuthorize(compiled(policy(rules)), {
    onRuleError: () => {},
    onDecision: (record) => audit.decision(record),
    ...(audit.records === undefined ? {} : { records: audit.records }),
    guards: { guardsFor: () => guards },
    randomUuid: () => crypto.randomUUID(),
  })
}

function refusalOf(run: () => void | Promise<void>): OciError {
  try {
    void run()
  } catch (error) {
    assert.ok(error instanceof OciError)
    return error
  }
  return assert.fail('it was allowed')
}

const head = { time: '2026-01-02T03:04:05.006Z', seq: 1 }
const around = {
  client_ip: '192.0.2.7',
  method: 'PUT',
  path: '/v2/team/app/manifests/v1',
  user_agent: 'docker/27.1',
}
const alice = {
  ...{ id: 'id-alice', username: 'alice', groups: ['dev'], auth_method: 'basic' },
  ...{ token_id: null, certificate: null, oidc_provider: null },
}

describe('a decision', () => {
  test('of a policy', async (t) => {
    const { audit, records } = await open(t)
    const rules = ["identity.oidc.claims.role == 'x'", "identity.username == 'root'"]
    const authorize = authorizeWith(audit, rules)
    const credential = `Basic ${secret}`
    const run = (): void | Promise<void> =>
      authorize(user('alice', 'dev'), act('put-manifest'), request({}, credential))
    const { detail } = refusalOf(run)
    const [record, surplus] = await records()
    assert.deepEqual(record, {
      ...{ ...head, kind: 'decision' },
      decision_id: (detail as { decisionId: string }).decisionId,
      ...{ allowed: false, action: 'put-manifest', repository: 'team/app', reference: 'v1' },
      ...{ tags: ['v1'], identity: alice, ...around, policy: 'global', rule: null },
      rule_error: record?.['rule_error'],
      ...{ guards: [], reason: null },
    })
    assert.match(String(record?.['decision_id']), uuid)
    assert.match(String(record?.['rule_error']), /absent has no fields/)
    assert.equal(surplus, undefined)
    assert.ok(!JSON.stringify(record).includes(secret))
  })

  test('of a rule and of guards', async (t) => {
    const { audit, records } = await open(t)
    const ask = (result: 'allow' | 'deny', name: string): Guard => {
      const verdict = { result, isCached: result === 'allow', reason: 'why', decisionId: 'd1' }
      return { name, ask: () => verdict }
    }
    const rule = "identity.username == 'alice'"
    const guards = [ask('allow', 'auth.webhook.a'), ask('deny', 'auth.opa.b')]
    const authorize = authorizeWith(audit, [rule], guards)
    refusalOf(() => authorize(user('alice', 'dev'), act('get-blob'), request()))
    const [record] = await records()
    assert.deepEqual(
      [record?.['rule'], record?.['policy'], record?.['digest']],
      [rule, 'global', digest],
    )
    const told = { reason: 'why', decision_id: 'd1' }
    assert.deepEqual(record?.['guards'], [
      { guard: 'auth.webhook.a', result: 'allow', ...told, cached: true },
      { guard: 'auth.opa.b', result: 'deny', ...told, cached: false },
    ])
  })

  test('about a certificate and a token of a provider', async (t) => {
    const { audit, records } = await open(t)
    const identity = {
      ...certified({ commonNames: ['host-1'], serial: '0A' }, bearer({ password: secret })),
      tokenId: 'jti-1',
    }
    refusalOf(() => authorizeWith(audit, [])(identity, act('mount-blob'), request()))
    const [record] = await records()
    assert.deepEqual(record?.['identity'], {
      ...{ ...alice, id: 'id-token', username: 'token', groups: [], token_id: 'jti-1' },
      certificate: { common_names: ['host-1'], organizations: [], serial: '0A' },
      oidc_provider: 'ci',
    })
    assert.equal(record?.['from'], 'base')
    assert.ok(!JSON.stringify(record).includes(secret))
  })

  test('that allows is recorded for the actions that were named', async (t) => {
    for (const [allow, expected] of [
      [[], []],
      [['put-manifest'], ['put-manifest']],
      [['*'], ['put-manifest', 'get-blob']],
    ] as const) {
      const { audit, records } = await open(t, { allow })
      const authorize = authorizeWith(audit, ['true'])
      for (const kind of ['put-manifest', 'get-blob'] as const) {
        assert.equal(authorize(anonymous, act(kind), request()), undefined)
      }
      const found = await records()
      assert.deepEqual(
        found.map(({ action }) => action),
        expected,
      )
      for (const { allowed } of found) assert.equal(allowed, true)
    }
  })

  test('about nobody who showed nothing can be left out, and has a trace all the same', async (t) => {
    const { audit, records } = await open(t, { anonymous: false, allow: ['*'] })
    const authorize = authorizeWith(audit, ["request.action == 'get-blob'"])
    const ids: unknown[] = []
    const ask = (identity: Identity, authorization: string): void => {
      const run = (): void | Promise<void> =>
        authorize(identity, act('put-manifest'), request({}, authorization))
      ids.push((refusalOf(run).detail as { decisionId: string }).decisionId)
    }
    ask(anonymous, '')
    // As podman says that it has none.
    ask(anonymous, 'Basic Og==')
    ask(anonymous, `Basic ${secret}`)
    ask(user('alice'), '')
    ask(certified({}), '')
    await authorize(anonymous, act('get-blob'), request())
    for (const id of ids) assert.equal(audit.trace.answer(String(id)).status, 200)
    const found = await records()
    assert.deepEqual(found.map(({ decision_id: id }) => id).slice(0, 3), ids.slice(2))
    assert.equal(found.length, 4)
  })

  test('is bounded in every text and list', async (t) => {
    const { audit, records } = await open(t)
    const long = 'x'.repeat(5_000)
    const groups = Array.from({ length: 300 }, (_, index) => `${index}${long}`)
    const identity = { ...user(long, ...groups), id: long, tokenId: long }
    const asked = request({ path: `/${long}`, header: () => long })
    refusalOf(() => authorizeWith(audit, [])(identity, act('put-manifest'), asked))
    const [record] = await records()
    assert.ok(record)
    const { username, groups: cut } = record['identity'] as {
      readonly username: string
      readonly groups: readonly string[]
    }
    assert.equal(username, `${'x'.repeat(1_024)}…[+3976]`)
    assert.deepEqual([cut.length, cut.at(-1)], [65, '…[+236]'])
    assert.ok(JSON.stringify(record).length < 80_000)
  })
})

test('a refusal that no policy made', async (t) => {
  const { audit, records } = await open(t)
  const id = audit.refusal({
    ...{ reason: 'wrong-credentials', message: null, identity: undefined },
    ...{ action: act('get-api-version'), asked: request({ method: 'GET', path: '/v2/' }) },
  })
  const [record] = await records()
  assert.deepEqual(record, {
    ...{ ...head, kind: 'decision', decision_id: id, allowed: false, action: 'get-api-version' },
    ...{ repository: null, identity: null, ...around, method: 'GET', path: '/v2/' },
    ...{ policy: null, rule: null, rule_error: null, guards: [], reason: 'wrong-credentials' },
  })
})

test('logins, tokens, admin calls, configurations and the server', async (t) => {
  const { audit, records } = await open(t)
  audit.login({
    ...{ method: 'oidc', result: 'failure', reason: 'expired', id: 'ci', username: null },
    ...{ address: '192.0.2.7', certificateSubject: 'CN=a', provider: 'ci', tokenId: null },
  })
  audit.token({
    ...{ result: 'issued', grant: 'query', tokenId: 'j1', method: 'basic', id: 'i' },
    ...{ username: 'u', scopes: ['repository:a:pull'], clientId: 'docker', refreshId: null },
    reason: null,
  })
  audit.tokenAdmin({
    ...{ call: 'revoke', result: 'done', subject: 'k1', username: null, scopes: [], reason: null },
  })
  audit.admin({ call: 'policy explain', result: 'refused', subject: 'x', reason: 'unknown' })
  audit.config({ result: 'loaded', files: ['/etc/k.toml'], sha256: 'ab', reason: null })
  audit.server({ event: 'start', version: '1.0.0', pid: 7, listeners: ['127.0.0.1:8000'] })
  const by = 'admin socket'
  const expected = [
    {
      ...{ kind: 'login', method: 'oidc', result: 'failure', reason: 'expired', id: 'ci' },
      ...{ username: null, address: '192.0.2.7', certificate_subject: 'CN=a', provider: 'ci' },
      token_id: null,
    },
    {
      ...{ kind: 'token', result: 'issued', grant: 'query', token_id: 'j1', method: 'basic' },
      ...{ id: 'i', username: 'u', scopes: ['repository:a:pull'], client_id: 'docker' },
      ...{ refresh_id: null, reason: null },
    },
    {
      ...{ kind: 'admin', call: 'token revoke', result: 'done', by, subject: 'k1', reason: null },
      ...{ username: null, scopes: [] },
    },
    {
      ...{ kind: 'admin', call: 'policy explain', result: 'refused', by, subject: 'x' },
      reason: 'unknown',
    },
    { kind: 'config', result: 'loaded', files: ['/etc/k.toml'], sha256: 'ab', reason: null },
    {
      ...{ kind: 'server', event: 'start', version: '1.0.0', pid: 7 },
      listeners: ['127.0.0.1:8000'],
    },
  ]
  assert.deepEqual(
    await records(),
    expected.map((record, index) => ({ ...head, seq: index + 1, ...record })),
  )
})

test('a full queue refuses what can be refused, and takes what has happened', async (t) => {
  const { audit, records } = await open(t, { queueMax: 16 })
  const authorize = authorizeWith(audit, [])
  const denied = (): OciError =>
    refusalOf(() => authorize(user('alice'), act('put-manifest'), request()))
  for (let n = 0; n < 16; n += 1) assert.equal(denied().status, 403)
  const { status, detail } = denied()
  assert.deepEqual([status, detail], [503, undefined])
  assert.throws(() => audit.assertRoom(), OciError)
  audit.admin({ call: 'a', result: 'done', subject: null, reason: null })
  assert.equal(audit.figures()?.refused, 2)
  assert.equal((await records()).length, 17)
})

test('without a file the ordinary log is told, no allowance is, and nothing is refused', async () => {
  const told: string[] = []
  const tell = (what: string) => (): void => void told.push(what)
  const plain = {
    ...{ decision: tell('decision'), login: tell('login'), token: tell('token') },
    tokenAdmin: tell('tokenAdmin'),
  }
  const audit = await openAudit({ ...config, allow: ['*'], queueMax: 1 }, partsWith(plain))
  assert.equal(audit.records, undefined)
  const authorize = authorizeWith(audit, [])
  const ids = [1, 2, 3].map(() => {
    const run = (): void | Promise<void> => authorize(user('a'), act('get-blob'), request())
    return (refusalOf(run).detail as { decisionId: string }).decisionId
  })
  audit.assertRoom()
  assert.deepEqual(told, ['decision', 'decision', 'decision'])
  for (const id of ids) assert.equal(audit.trace.answer(id).status, 200)
  assert.equal(audit.figures(), undefined)
  await audit.reopen()
  await audit.close()
})

test('a file that cannot be used is refused by its key', async (t) => {
  await assert.rejects(open(t, { file: '/nowhere/at/all' }), /^Error: audit\.file: /)
})
