// Goal: a gateway's word counts, nobody else's does, and it adds to what else the request shows without
// ever contradicting it. Method: requests from gateways, near misses of gateways, and strangers.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GatewayConfig } from '../../src/authenticate/gateway.ts'
import { anonymous } from '../../src/authenticate/identity.ts'
import type { OidcProviders } from '../../src/authenticate/oidc/contract.ts'
import { Secret } from '../../src/config/secret.ts'
import { OciError } from '../../src/oci/error.ts'
import { type AskOptions, certificateOf, ci, loginScene, refusal } from './login-scene.ts'

const secret = 'the secret of the gateway'
const config: GatewayConfig = {
  proxies: ['10.1.0.7', '10.2.0.0/16', '2001:db8:7::/48'],
  header: 'X-Forwarded-User',
  groupsHeader: 'X-Forwarded-Groups',
  secretHeader: 'X-Gateway-Secret',
  sharedSecret: new Secret(secret),
  commonNames: [],
}
const byCertificate = { ...config, sharedSecret: undefined, commonNames: ['edge'] }

/** A request as the gateway sends it. */
function via(headers: AskOptions['headers'] = {}, more: AskOptions = {}): AskOptions {
  const { headers: others, ...rest } = more
  const sent = { 'X-Gateway-Secret': secret, 'X-Forwarded-User': 'ann', ...headers, ...others }
  return { peer: '10.1.0.7', address: '198.51.100.4', headers: sent, ...rest }
}

describe('the word of a gateway', () => {
  test('that could not be recorded is not taken, and recorded when it is', async () => {
    let isFull = true
    const onLogin = (): void => {
      if (isFull) throw new OciError('UNAVAILABLE')
    }
    const { ask, events } = loginScene({ gateway: config, onLogin })
    await assert.rejects(ask(via()), refusal(503))
    await assert.rejects(ask(via()), refusal(503))
    isFull = false
    assert.equal((await ask(via())).username, 'ann')
    assert.equal(events.length, 1)
  })

  test('names the user and the groups', async () => {
    const { ask } = loginScene({ gateway: config })
    const identity = await ask(via({ 'X-Forwarded-Groups': 'core, ops team ,a' }))
    assert.deepEqual(identity, {
      ...anonymous,
      username: 'ann',
      groups: ['core', 'ops team', 'a'],
      authMethod: 'gateway',
    })
  })

  test('is believed from each address and network that is configured', async () => {
    const { ask } = loginScene({ gateway: config })
    for (const peer of ['10.1.0.7', '10.2.255.1', '2001:db8:7:1::9']) {
      assert.equal((await ask(via({}, { peer }))).username, 'ann')
    }
  })

  test('is one identity for one user, so that later stages can remember it', async () => {
    const { ask } = loginScene({ gateway: config })
    const ann = await ask(via())
    assert.equal(await ask(via()), ann)
    assert.notEqual(await ask(via({ 'X-Forwarded-Groups': 'core' })), ann)
    assert.ok(Object.isFrozen(ann) && Object.isFrozen(ann.groups))
  })

  test('names no groups where no header is configured for them', async () => {
    const { groupsHeader: _, ...rest } = config
    const { ask } = loginScene({ gateway: { ...rest, groupsHeader: undefined } })
    assert.deepEqual((await ask(via({ 'X-Forwarded-Groups': 'core' }))).groups, [])
  })

  test('that names nobody leaves nobody', async () => {
    const { ask } = loginScene({ gateway: config })
    for (const name of ['', [], ['']]) {
      assert.equal(await ask(via({ 'X-Forwarded-User': name })), anonymous)
    }
  })

  test('is enough for a login; without it and without credentials a login is refused', async () => {
    for (const users of [[ci], []]) {
      const { ask } = loginScene({ gateway: config, users })
      assert.equal((await ask(via({}, { isLogin: true }))).username, 'ann')
      await assert.rejects(ask({ isLogin: true }), refusal(401))
      await assert.rejects(ask(via({ 'X-Forwarded-User': '' }, { isLogin: true })), refusal(401))
    }
  })

  test('is told once for each user, with the address of the client, and counted each time', async () => {
    const { ask, events, counts } = loginScene({ gateway: config })
    await ask(via())
    await ask(via())
    assert.deepEqual(events, [
      {
        ...{ method: 'gateway', result: 'success', reason: 'success', id: null, username: 'ann' },
        ...{ address: '198.51.100.4', certificateSubject: null, provider: null, tokenId: null },
      },
    ])
    assert.deepEqual([...counts.entries()], [['gateway', 'success', 2]])
  })
})

describe('what pretends to be a gateway', () => {
  const pretenders: Readonly<Record<string, AskOptions>> = {
    'an address beside the networks': via({}, { peer: '10.1.0.8' }),
    'a client behind a trusted proxy that has the address of the gateway': {
      ...via(),
      peer: '203.0.113.9',
      address: '10.1.0.7',
    },
    'a unix socket': via({}, { peer: '' }),
    'another secret': via({ 'X-Gateway-Secret': 'the secret of the gatewaY' }),
    'the beginning of the secret': via({ 'X-Gateway-Secret': secret.slice(0, -1) }),
    'an empty secret': via({ 'X-Gateway-Secret': '' }),
    'no secret': via({ 'X-Gateway-Secret': [] }),
    'a certificate where none is configured': via(
      { 'X-Gateway-Secret': [] },
      { certificate: certificateOf('edge') },
    ),
  }
  for (const [name, request] of Object.entries(pretenders)) {
    test(`${name}: its header is ignored and counted`, async () => {
      const { ask, authenticator, ignored } = loginScene({ gateway: config })
      const { username, authMethod } = await ask(request)
      assert.equal(username, null)
      assert.notEqual(authMethod, 'gateway')
      assert.equal(authenticator.gatewayHeadersIgnored, 1)
      assert.deepEqual(ignored, [{ peerAddress: request.peer, ignored: 1 }])
    })
  }

  test('is told of once a minute, with how many there were', async () => {
    const { ask, advance, ignored } = loginScene({ gateway: config })
    const stranger = via({}, { peer: '203.0.113.9' })
    for (let i = 0; i < 5; i += 1) await ask(stranger)
    advance(59_999)
    await ask(stranger)
    assert.deepEqual(
      ignored.map((each) => each.ignored),
      [1],
    )
    advance(1)
    await ask(stranger)
    assert.deepEqual(
      ignored.map((each) => each.ignored),
      [1, 6],
    )
  })

  test('takes nothing from the credentials that it shows', async () => {
    const { ask } = loginScene({ gateway: config })
    const stranger = via(
      { 'X-Forwarded-User': 'root' },
      { peer: '203.0.113.9', login: 'ci:secret' },
    )
    const { username, authMethod } = await ask(stranger)
    assert.deepEqual([username, authMethod], ['ci', 'basic'])
  })

  test('without a gateway in the configuration the header means nothing', async () => {
    const { ask, authenticator } = loginScene()
    assert.equal(await ask(via()), anonymous)
    assert.equal(authenticator.gatewayHeadersIgnored, 0)
  })
})

describe('a word that cannot be believed', () => {
  const refused: Readonly<Record<string, [headers: AskOptions['headers'], reason: string]>> = {
    'the user twice': [{ 'X-Forwarded-User': ['ann', 'root'] }, 'repeated-header'],
    'the same user twice': [{ 'X-Forwarded-User': ['ann', 'ann'] }, 'repeated-header'],
    'an empty user and another': [{ 'X-Forwarded-User': ['', 'root'] }, 'repeated-header'],
    'the groups twice': [{ 'X-Forwarded-Groups': ['a', 'b'] }, 'repeated-header'],
    'the groups twice and nobody': [
      { 'X-Forwarded-User': [], 'X-Forwarded-Groups': ['a', 'b'] },
      'repeated-header',
    ],
    'the secret twice': [{ 'X-Gateway-Secret': ['a guess', secret] }, 'repeated-header'],
    'too long a name': [{ 'X-Forwarded-User': 'a'.repeat(257) }, 'unfit-username'],
    'a control character': [{ 'X-Forwarded-User': 'an\tn' }, 'unfit-username'],
    'a name beyond ASCII': [{ 'X-Forwarded-User': 'änn' }, 'unfit-username'],
    'a name of an API key': [{ 'X-Forwarded-User': 'key:deploy' }, 'unfit-username'],
    'a name of a provider': [{ 'X-Forwarded-User': 'github:octo' }, 'unfit-username'],
    'too many groups': [
      { 'X-Forwarded-Groups': Array.from({ length: 257 }, (_, n) => `g${n}`).join() },
      'unfit-groups',
    ],
    'too long a group': [{ 'X-Forwarded-Groups': 'g'.repeat(257) }, 'unfit-groups'],
    'an empty group': [{ 'X-Forwarded-Groups': 'a,,b' }, 'unfit-groups'],
    'a group beyond ASCII': [{ 'X-Forwarded-Groups': 'größe' }, 'unfit-groups'],
  }
  const oidc: OidcProviders = {
    names: new Set(['github']),
    verify: () => assert.fail('no token was shown'),
    status: () => ({ providers: [], clockJumps: 0 }),
    close: () => Promise.resolve(),
  }
  for (const [name, [headers, reason]] of Object.entries(refused)) {
    test(`${name} is refused, and the log says why`, async () => {
      const { ask, events } = loginScene({ gateway: config, oidc })
      await assert.rejects(ask(via(headers)), refusal(401))
      assert.deepEqual(
        events.map((event) => [event.method, event.result, event.reason]),
        [['gateway', 'failure', reason]],
      )
    })
  }

  test('what just fits is taken', async () => {
    const { ask } = loginScene({ gateway: config, oidc })
    const groups = Array.from({ length: 256 }, (_, n) => `g${n}`)
    const username = `CN=Ann Example, O=x ${'y'.repeat(236)}`
    assert.equal(username.length, 256)
    const headers = { 'X-Forwarded-User': username, 'X-Forwarded-Groups': groups.join(',') }
    const identity = await ask(via(headers))
    assert.deepEqual([identity.username, identity.groups], [username, groups])
  })
})

describe('a gateway and other credentials', () => {
  test('that name the same user become one identity with both parts', async () => {
    const { ask } = loginScene({ gateway: config })
    const headers = { 'X-Forwarded-User': 'ci', 'X-Forwarded-Groups': 'core,builders' }
    const identity = await ask(via(headers, { login: 'ci:secret' }))
    const { id, username, authMethod, groups } = identity
    assert.deepEqual(
      { id, username, authMethod, groups },
      { id: 'build', username: 'ci', authMethod: 'basic', groups: ['builders', 'core'] },
    )
    assert.equal(await ask(via(headers, { login: 'ci:secret' })), identity)
    const { tokenId, username: bearer } = await ask(via(headers, { bearer: 'good-1' }))
    assert.deepEqual([bearer, tokenId], ['ci', 'id of good-1'])
  })

  test('that disagree on the user are refused, however the credential is checked', async () => {
    const { ask, events } = loginScene({ gateway: config })
    // The second time it is known already, and answered without a promise.
    for (const more of [
      { login: 'ci:secret' },
      { login: 'ci:secret' },
      { bearer: 'good-1' },
      { bearer: 'good-1' },
    ]) {
      await assert.rejects(ask(via({}, more)), refusal(401))
      const { method, reason, username } = events.at(-1) ?? assert.fail()
      assert.deepEqual([method, reason, username], ['gateway', 'username-mismatch', 'ann'])
    }
  })

  test('a token for nobody narrows what the user of the gateway may do', async () => {
    const scopes = [{ type: 'catalog' }] as const
    const nobodys = { identity: Object.freeze({ ...anonymous, scopes, tokenId: 'of nobody' }) }
    const { ask } = loginScene({ gateway: config, tokens: { 'good-nobody': nobodys } })
    const identity = await ask(via({}, { bearer: 'good-nobody' }))
    assert.deepEqual(
      [identity.username, identity.scopes, identity.tokenId, identity.authMethod],
      ['ann', scopes, 'of nobody', 'gateway'],
    )
  })

  test('a wrong password leaves the word of the gateway, but not at a login', async () => {
    const { ask } = loginScene({ gateway: config })
    const { username, authMethod } = await ask(via({}, { login: 'ci:wrong' }))
    assert.deepEqual([username, authMethod], ['ann', 'gateway'])
    for (let i = 0; i < 2; i += 1) {
      await assert.rejects(ask(via({}, { login: 'ci:wrong', isLogin: true })), refusal(401))
    }
  })

  test('a wrong token is refused whatever the gateway says', async () => {
    const { ask } = loginScene({ gateway: config })
    await assert.rejects(ask(via({}, { bearer: 'bad-1' })), refusal(401))
  })
})

describe('the certificate of a gateway', () => {
  const edge = certificateOf('edge')

  test('shows who it is, in place of a secret, and is no part of the user', async () => {
    const { ask } = loginScene({ gateway: byCertificate })
    const identity = await ask(via({ 'X-Gateway-Secret': [] }, { certificate: edge }))
    assert.equal(identity.username, 'ann')
    assert.equal(identity.certificate, null)
    assert.equal(identity.authMethod, 'gateway')
  })

  test('is no part of anybody where the gateway names nobody, or knows itself by a secret', async () => {
    const { ask } = loginScene({ gateway: { ...byCertificate, sharedSecret: new Secret(secret) } })
    const nobody = { 'X-Gateway-Secret': [], 'X-Forwarded-User': [] }
    assert.equal(await ask(via(nobody, { certificate: edge })), anonymous)
    const bySecret = await ask(via({}, { certificate: certificateOf('other') }))
    assert.equal(bySecret.certificate, null)
    const password = await ask(via(nobody, { certificate: edge, login: 'ci:secret' }))
    assert.equal(password.certificate, null)
  })

  test('does not stand in for the one that a token is bound to', async () => {
    const bound = { certificateSha256: edge.fingerprintSha256 }
    const { ask } = loginScene({ gateway: byCertificate, tokens: { 'good-bound': bound } })
    const nobody = { 'X-Gateway-Secret': [], 'X-Forwarded-User': [] }
    const asked = via(nobody, { certificate: edge, bearer: 'good-bound' })
    await assert.rejects(ask(asked), refusal(401))
    const { username } = await ask({ certificate: edge, bearer: 'good-bound' })
    assert.equal(username, 'ci')
  })

  test('counts only from the networks, and only with a name that is configured', async () => {
    const { ask, authenticator } = loginScene({ gateway: byCertificate })
    const without = { 'X-Gateway-Secret': [] }
    for (const more of [
      { certificate: edge, peer: '203.0.113.9' },
      { certificate: certificateOf('edge2') },
      { certificate: { ...edge, commonNames: [], organizations: ['edge'] } },
    ]) {
      const identity = await ask(via(without, more))
      assert.equal(identity.authMethod, 'mtls')
      assert.equal(identity.username, null)
    }
    // A secret is none where none is configured.
    assert.equal((await ask(via())).authMethod, 'anonymous')
    assert.equal(authenticator.gatewayHeadersIgnored, 4)
  })

  test('is told of with what it let in', async () => {
    const { ask, events } = loginScene({ gateway: byCertificate })
    await ask(via({ 'X-Gateway-Secret': [] }, { certificate: edge }))
    assert.equal(events[0]?.certificateSubject, 'CN=edge, O=Infrastructure')
  })
})
