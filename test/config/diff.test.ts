// Goal: nothing that changed goes unsaid, and what a reload puts in force is exactly what can change
// live. Method: change every row of the schema alone and many of them at once; then the cases in which
// tables come, go and move.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type ConfigChange, diffConfigs } from '../../src/config/diff.ts'
import { mergeLive } from '../../src/config/merge-live.ts'
import { sameSettings } from '../../src/config/same-settings.ts'
import type { Config } from '../../src/config/schema.ts'
import { everyTable, type KeyChange, keyChanges } from './every-table.ts'
import { parse, parseIn, store } from './parse.ts'

const changes = keyChanges()
const ofEveryTable = changes.filter(({ base }) => base === everyTable)
const reloadOf = new Map(changes.map(({ key, entry }) => [key, entry.reload]))

function diff(before: string, ...after: readonly string[]): readonly ConfigChange[] {
  return diffConfigs(parse(before), parse(...after))
}

function keysOf(found: readonly ConfigChange[]): readonly string[] {
  return found.map(({ key, reload }) => `${key} ${reload}`)
}

describe('rows', () => {
  test('every row of the schema that changes alone is named, and takes effect as it says', () => {
    for (const { key, entry, base, overlay } of changes) {
      const found = diff(base, base, overlay).find((each) => each.key === key)
      assert.ok(found, key)
      assert.equal(found.reload, entry.reload, key)
      if (entry.kind !== 'secret') assert.notEqual(found.before, found.after, key)
    }
  })

  test('a configuration that is loaded twice is the same', () => {
    for (const text of [everyTable, store]) {
      assert.deepEqual(diff(text, text), [])
      assert.ok(sameSettings(parse(text), parse(text)))
    }
  })

  test('what is in force differs from the new in restart keys alone, and from the old in live ones', () => {
    const some = fc.subarray([...ofEveryTable], { minLength: 1 })
    fc.assert(
      fc.property(some, some, (earlier, later) => {
        const before = parsed(earlier)
        const after = parsed(later)
        fc.pre(before !== undefined && after !== undefined)
        const inForce = mergeLive(before, after)
        const found = diffConfigs(before, after)
        const isKept = (change: ConfigChange) => change.reload === 'restart'
        assert.deepEqual(keysOf(diffConfigs(inForce, after)), keysOf(found.filter(isKept)))
        const taken = found.filter((change) => !isKept(change))
        assert.deepEqual(keysOf(diffConfigs(before, inForce)), keysOf(taken))
        for (const { key, reload } of found) assert.equal(reload, reloadOf.get(key), key)
        assert.equal(found.length === 0, sameSettings(before, after))
      }),
      { numRuns: 60 },
    )
  })
})

function parsed(overlays: readonly KeyChange[]): Config | undefined {
  try {
    return parse(everyTable, ...overlays.map(({ overlay }) => overlay))
  } catch {
    return undefined
  }
}

describe('tables', () => {
  const tls = '[server.tls]\nserver_certificate_bundle = "/c"\nserver_private_key = "/k"\n'
  const ldap = (name: string) => `[auth.ldap.${name}]\nurl = "ldaps://ldap.test"\n`

  test('one that has live keys alone comes and goes live', () => {
    const comes = diff(store, store, ldap('office'))
    assert.ok(comes.some(({ key, after }) => key === 'auth.ldap.office.url' && after !== ''))
    assert.ok(comes.every(({ before, reload }) => before === '' && reload === 'live'))
    const goes = diff(`${store}${ldap('office')}`, store)
    assert.ok(goes.every(({ after, reload }) => after === '' && reload === 'live'))
  })

  test('one that has restart keys comes and goes with a restart', () => {
    const tables = [tls, '[tracing]\nendpoint = "https://t.test"\n', '[auth.token_service]\n']
    for (const table of [...tables, '[redis]\nurl = "rediss://r.test"\n']) {
      for (const [before, after] of [
        [parse(store), parse(store, table)],
        [parse(store, table), parse(store)],
      ] as const) {
        const found = diffConfigs(before, after)
        assert.ok(found.length > 0 && found.every(({ reload }) => reload === 'restart'), table)
        assert.ok(sameSettings(mergeLive(before, after), before), table)
      }
    }
  })

  test('one without a key is named itself', () => {
    assert.deepEqual(diff(store, store, '[repository.team]\n'), [
      { key: 'repository.team', before: '', after: '{}', reload: 'live' },
    ])
    const memory = '[blob_store.memory]\n[metadata_store.memory]\n'
    const keys = keysOf(diff(store, memory))
    assert.ok(
      keys.includes('blob_store.memory restart') && keys.includes('metadata_store.memory restart'),
    )
  })

  test('the same ones in another order are one change', () => {
    const before = `${store}${ldap('a')}${ldap('b')}${ldap('c')}`
    const found = diff(before, `${store}${ldap('b')}${ldap('a')}${ldap('c')}`)
    const [order] = found
    assert.deepEqual(keysOf(found), ['auth.ldap live'])
    assert.equal(order?.after, '["auth.ldap.b","auth.ldap.a","auth.ldap.c"]')
  })

  test('policies change live, of each prefix', () => {
    const policy = (name: string) => `[${name}.access_policy]\nrules = ["true"]\n`
    const found = diff(store, `${policy('global')}${policy('repository."a/b"')}${store}`)
    assert.deepEqual(keysOf(found), [
      'global.access_policy.default live',
      'global.access_policy.rules live',
      'repository."a/b".access_policy.default live',
      'repository."a/b".access_policy.rules live',
    ])
  })

  test('where a rule stands in its file is no change', () => {
    const rules = '[global.access_policy]\nrules = ["true"]\n'
    assert.deepEqual(diff(`${rules}${store}`, `${store}${rules}`), [])
    assert.ok(sameSettings(parse(`${rules}${store}`), parse(`${store}${rules}`)))
  })

  test('listeners are compared by their place in the list, and stay what they were', () => {
    const listener = (more: string) =>
      `[[server.listener]]\nbind_address = "127.0.0.1"\nport = 8001\n${more}`
    const socket = '[[server.listener]]\nsocket = "/s"\n'
    const base = `[server]\ntrusted_proxies = ["::1"]\n${tls}${listener('')}${socket}${store}`
    for (const [key, text] of [
      ['[0].bind_address', listener('').replace('.0.1', '.0.2') + socket],
      ['[0].port', listener('').replace('8001', '8002') + socket],
      ['[0].tls', listener('tls = false\n') + socket],
      ['[0].proxy_protocol', listener('proxy_protocol = true\n') + socket],
      ['[1].socket', listener('') + socket.replace('/s', '/other')],
      ['[1].socket_mode', `${listener('')}${socket}socket_mode = "0600"\n`],
    ] as const) {
      const before = parse(base)
      const after = parse(base, text)
      assert.deepEqual(keysOf(diffConfigs(before, after)), [`server.listener${key} restart`])
      assert.deepEqual(mergeLive(before, after), before)
    }
    assert.ok(
      diff(store, base).every(({ key, reload }) => /^server\./.test(key) && reload === 'restart'),
    )
  })

  test('whether client certificates are asked for changes live only where the transport stays', () => {
    const clients = `${tls}client_ca_bundle = "/a"\nclient_auth = "required"\n`
    for (const [transport, reload] of [
      ['auto', 'restart'],
      ['node', 'live'],
    ] as const) {
      const server = `[server]\ntransport = "${transport}"\n`
      const before = parse(`${server}${tls}${store}`)
      const after = parse(`${server}${clients}${store}`)
      const expected = ['client_auth', 'client_ca_bundle'].map(
        (key) => `server.tls.${key} ${reload}`,
      )
      assert.deepEqual(keysOf(diffConfigs(before, after)).toSorted(), expected)
      const inForce = reload === 'live' ? after : before
      assert.ok(sameSettings(mergeLive(before, after).tls, inForce.tls))
    }
  })
})

describe('secrets', () => {
  const hook = (name: string, secret: string) =>
    `[auth.webhook.${name}]\nurl = "https://${name}.test"\nbearer_token = ${secret}\n`

  test('another value is a change that shows neither', () => {
    const [change, ...more] = diff(
      `${hook('a', '"hush"')}${store}`,
      `${hook('a', '"tush"')}${store}`,
    )
    assert.deepEqual(
      [change, more],
      [{ key: 'auth.webhook.a.bearer_token', before: '"***"', after: '"***"', reload: 'live' }, []],
    )
  })

  test('another value at the same place is a change, and so is the same one at another', () => {
    const at = (name: string, value: string) =>
      parseIn({ [name]: value }, `${hook('a', `{ env = "${name}" }`)}${store}`)
    const shown = '{ env = "TOKEN" }'
    const key = 'auth.webhook.a.bearer_token'
    assert.deepEqual(diffConfigs(at('TOKEN', 'hush'), at('TOKEN', 'tush')), [
      { key, before: shown, after: shown, reload: 'live' },
    ])
    assert.equal(diffConfigs(at('TOKEN', 'hush'), at('OTHER', 'hush')).length, 1)
    assert.deepEqual(diffConfigs(at('TOKEN', 'hush'), at('TOKEN', 'hush')), [])
  })

  test('one that stays is the very object that it was', () => {
    const before = parse(`${hook('a', '"hush"')}${hook('b', '"old"')}${store}`)
    const after = parse(`${hook('b', '"new"')}${hook('a', '"hush"')}${store}`)
    const inForce = mergeLive(before, after)
    const tokenOf = (config: Config, name: string) =>
      config.auth.webhooks.find((each) => each.name === name)?.bearerToken
    assert.equal(tokenOf(inForce, 'a'), tokenOf(before, 'a'))
    assert.equal(tokenOf(inForce, 'b'), tokenOf(after, 'b'))
  })

  test('what is in force is frozen', () => {
    const inForce = mergeLive(parse(everyTable), parse(everyTable))
    assert.ok(Object.isFrozen(inForce) && Object.isFrozen(inForce.auth.ldap[0]))
  })
})
