// Goal: what is masked is on no line, whatever part of the product writes it. Method: lines in the forms
// that the product writes, with each mask and with all.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createMask, type LogMask } from '../../src/telemetry/log-mask.ts'

const login = {
  ...{ method: 'basic', result: 'failure', reason: 'wrong password', id: null, username: 'joe' },
  ...{ address: '192.0.2.7', certificateSubject: 'CN=joe', provider: null, tokenId: 't-1' },
}
const lines = {
  login: { login },
  denied: {
    decisionId: 'd',
    id: 'joe-id',
    username: 'joe',
    action: 'get-blob',
    repository: 'team/app',
  },
  token: { token: { username: 'joe', id: 'joe-id', scopes: ['repository:team/app:pull'] } },
  certificate: { reason: 'expired', subject: 'CN=joe', serial: '0A', address: '192.0.2.7' },
  request: { repository: 'team/app', reference: 'v1', username: 'joe', userAgent: 'joe/1' },
  gateway: { peerAddress: '192.0.2.7', ignored: 3 },
  deep: { a: [{ b: { groups: ['joes'], commonNames: ['joe'] } }] },
}
const telling: { readonly [Mask in LogMask]: RegExp } = {
  address: /192\.0\.2\.7/,
  certificate: /CN=joe|0A|commonNames":\["joe/,
  groups: /joes/,
  reference: /v1/,
  repository: /team\/app/,
  user_agent: /joe\/1/,
  username: /"joe"|joe-id/,
}
const all = Object.keys(telling) as LogMask[]

test('each mask hides what it names, and only that', () => {
  const shown = JSON.stringify(lines)
  for (const mask of all) {
    const hide = createMask([mask])
    const masked = JSON.stringify(Object.values(lines).map(hide))
    assert.match(shown, telling[mask])
    // Common names are those of certificates, whatever they look like.
    if (mask === 'username') assert.doesNotMatch(masked.replace('["joe"]', ''), telling[mask])
    else assert.doesNotMatch(masked, telling[mask], mask)
    for (const other of all) {
      if (other !== mask) assert.match(masked, telling[other], `${other} beside ${mask}`)
    }
  }
})

test('without a mask fields are handed on as they are', () => {
  assert.equal(createMask([])(lines.login), lines.login)
})

test('what is not there stays so, and what the mask does not name keeps its form', () => {
  const masked = createMask(all)(lines.login)
  assert.deepEqual(masked, {
    login: { ...login, username: '***', address: '***', certificateSubject: '***' },
  })
  assert.equal(lines.login.login.username, 'joe', 'the event itself is not changed')
})

test('places of the product itself are nobody’s', () => {
  const served = { address: '0.0.0.0', port: 443, transport: 'uws', tls: true }
  const fault = new Error('failed')
  const fields = { ...served, others: [served], id: 7, subject: 'key-1', err: fault }
  assert.deepEqual(createMask(all)(fields), fields)
  assert.equal(createMask(all)(fields)['err'], fault)
})

test('docs/logs.md names each mask and what it hides', () => {
  const page = readFileSync('docs/logs.md', 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)]
  assert.deepEqual(rows.map(([, mask]) => mask).toSorted(), all.toSorted())
  // What tells, beside a field, that it is of somebody.
  const beside = { serial: '0A', username: 'joe', method: 'GET' }
  for (const [, mask, hidden = ''] of rows) {
    const fields = [...hidden.matchAll(/`(\w+)`/g)].map(([, field = '']) => field)
    assert.ok(fields.length > 0, mask)
    for (const field of fields) {
      const shown = createMask([mask as LogMask])({ ...beside, [field]: 'x' })
      assert.equal(shown[field], '***', `${field} with ${mask}`)
    }
  }
})
