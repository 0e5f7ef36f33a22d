// Goal: whatever a provider calls a user, a proxy gets one header that holds one name. Method: the answer
// to identities that no configuration could make.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous } from '../../src/authenticate/identity.ts'
import type { Authorize } from '../../src/authorize/authorize.ts'
import type { Asked } from '../../src/authorize/guard.ts'
import { ForwardAuth } from '../../src/server/forward-auth.ts'

const allowing: Authorize = Object.assign(() => {}, {
  isAllowed: () => true,
  mayBeAllowed: () => true,
  tellsRepositoriesApart: false,
  tellsReferencesApart: () => false,
})
const asked: Asked = {
  ...{ method: 'GET', path: '/v2/', query: '', isSecure: false },
  header: () => '',
  clientIp: () => '',
}
const forwardAuth = new ForwardAuth({
  config: {
    ...{ path: '/forward-auth', proxies: ['127.0.0.1'] },
    ...{ methodHeader: 'X-Forwarded-Method', uriHeader: 'X-Forwarded-Uri' },
    ...{ userHeader: 'X-User', groupsHeader: 'X-Groups' },
  },
  authorize: allowing,
  clientAddress: () => '',
})

async function headersFor(username: string | null, ...groups: readonly string[]) {
  const identity = { ...anonymous, id: 'id', username, groups }
  const action = { kind: 'get-api-version', head: false } as const
  const { headers } = await forwardAuth.answer(identity, { action, asked })
  return Object.fromEntries(headers.pairs)
}

test('names and groups are printable, and each is one', async () => {
  const table: ReadonlyArray<readonly [string, string]> = [
    ['ann', 'ann'],
    ['ann@example.com', 'ann@example.com'],
    ['actions:repo:a/b:ref', 'actions:repo:a/b:ref'],
    ['a,b', 'a%2cb'],
    ['a b', 'a%20b'],
    ['jörg', 'j%c3%b6rg'],
    ['a\r\nX-User: root', 'a%0d%0aX-User:%20root'],
    ['a\0\x7f\x85', 'a%00%7f%c2%85'],
    ['%2c', '%252c'],
    ['"a\\', '%22a%5c'],
    ['\ud800', '%ef%bf%bd'],
  ]
  for (const [name, told] of table) {
    const headers = await headersFor(name, name, 'x', name)
    assert.equal(headers['X-User'], told, name)
    assert.equal(headers['X-Groups'], `${told},x,${told}`, name)
  }
})

test('both headers are there for nobody, too', async () => {
  const { 'X-User': user, 'X-Groups': groups } = await headersFor(null)
  assert.deepEqual([user, groups], ['', ''])
})
