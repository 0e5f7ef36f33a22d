// Goal: a proxy that asks about requests to another registry hears what the policies say of them, and
// neither it nor its client can become somebody else by what they send. Method: raw requests from several
// loopback addresses, as nginx, Traefik and Envoy make them, on both transports.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { RawReply, RawTarget } from '../support/raw-http.ts'
import { type Server, startServer } from '../support/server.ts'
import { needsTransport } from '../support/transport.ts'
import {
  ask,
  assertAllowed,
  assertRefused,
  basic,
  bob,
  ci,
  digest,
  forwardAuth,
  gateway,
  type Headers,
  manifest,
  mount,
  policy,
  proxy,
  send,
  users,
} from './forward-auth-scene.ts'
import { poll, temporaryFolder } from './product.ts'

const session = '/v2/team/app/blobs/uploads/0f8fad5b-d9cb-469f-a165-70867728950e'

const kinds: ReadonlyArray<readonly [request: string, kind: string]> = [
  ['GET /v2/', 'get-api-version'],
  ['GET /v2/_catalog?n=5', 'list-catalog'],
  ['GET /v2/team/app/tags/list', 'list-tags'],
  [`GET ${manifest}`, 'get-manifest'],
  [`HEAD ${manifest}`, 'get-manifest'],
  [`GET /v2/team/app/manifests/${digest}`, 'get-manifest'],
  [`PUT ${manifest}`, 'put-manifest'],
  [`DELETE ${manifest}`, 'delete-manifest'],
  [`GET /v2/team/app/blobs/${digest}`, 'get-blob'],
  [`HEAD /v2/team/app/blobs/${digest}`, 'get-blob'],
  [`DELETE /v2/team/app/blobs/${digest}`, 'delete-blob'],
  [`GET /v2/team/app/referrers/${digest}`, 'get-referrers'],
  ['POST /v2/team/app/blobs/uploads/', 'start-upload'],
  [`POST ${mount}&from=team/base`, 'mount-blob'],
  [`GET ${session}?_state=x`, 'get-upload'],
  [`PATCH ${session}?_state=x`, 'update-upload'],
  [`PUT ${session}?_state=x&digest=${digest}`, 'complete-upload'],
  [`DELETE ${session}?_state=x`, 'cancel-upload'],
]

for (const transport of ['uws', 'node'] as const) {
  describe(`forward_auth on ${transport}`, needsTransport(transport), () => {
    const folder = temporaryFolder()
    const auditFile = join(folder.path, 'audit.jsonl')
    let server: Server
    before(async () => {
      const own = `transport = "${transport}"\ntrusted_proxies = ["${proxy}"]`
      const audit = `[audit]\nallow = ["*"]\nfile = ${JSON.stringify(auditFile)}\n`
      const lists = 'per = "address"\nactions = ["list-tags"]\nrequests = 1\nperiod = "1h"'
      const limit = `[limits.rate.lists]\n${lists}\n`
      const toml = [`[server]\n${own}`, forwardAuth, users, gateway, audit, limit, policy]
      const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
      server = await startServer({ base: `[server]\nport = 0\n${stores}`, toml: toml.join('\n') })
    })
    after(async () => {
      assert.deepEqual(await server.stop(), { code: 0, signal: null })
    })
    const from = (localAddress: string): RawTarget => ({ port: server.port, localAddress })
    const by = (client: string): Headers => [['X-Forwarded-For', client]]
    const nginx = (request: string, headers: Headers = []): Promise<RawReply> =>
      ask(from(proxy), request, headers)

    /** The first record with these fields. */
    function recorded(fields: Readonly<Record<string, unknown>>): Promise<unknown> {
      return poll(JSON.stringify(fields), async () => {
        const lines = readFileSync(auditFile, 'utf8').split('\n').slice(0, -1)
        const records = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
        return records.find((record) =>
          Object.entries(fields).every(([name, value]) => record[name] === value),
        )
      })
    }

    for (const [index, [request, kind]] of kinds.entries()) {
      test(`${request.split('?')[0]} is allowed, refused or asks for a login`, async () => {
        // Each from an address of its own, since lists are limited.
        const address = `203.0.113.${index}`
        assertAllowed(await nginx(request, [...ci, ...by(address)]), 'ci', 'devs,a%2cb')
        const [method = '', uri = ''] = request.split(' ')
        const [path] = uri.split('?')
        await recorded({ client_ip: address, action: kind, method, path, allowed: true })
        if (kind === 'mount-blob') {
          const read = { action: 'get-blob', method: 'GET', allowed: true }
          await recorded({ client_ip: address, ...read, path: `/v2/team/base/blobs/${digest}` })
        }
        const others = request.replace('team/app', 'core/app')
        const isOpen = kind === 'get-api-version'
        const bobs = await nginx(others, [...bob, ...by(`203.0.113.1${index}`)])
        if (isOpen) assertAllowed(bobs, 'bob', '')
        else assertRefused(bobs, 403)
        const { headers } = assertRefused(await nginx(others, by(`203.0.114.${index}`)), 401)
        assert.match(headers['www-authenticate'] ?? '', /^Basic realm="/)
      })
    }

    test('nobody may pull what is public, and is nobody to the other registry', async () => {
      assertAllowed(await nginx('GET /v2/public/app/manifests/v1'), '', '')
      assertRefused(await nginx('PUT /v2/public/app/manifests/v1'), 401)
      // A wrong password is nobody's, and wrong where it is the login itself.
      const wrong = basic('ci', 'guess')
      assertAllowed(await nginx('GET /v2/public/app/manifests/v1', wrong), '', '')
      assertRefused(await nginx('GET /v2/', wrong), 401)
    })

    test('the path is there for proxies alone', async () => {
      assert.equal((await ask(from('127.0.0.9'), `GET ${manifest}`, ci)).status, 200)
      for (const address of ['127.0.0.1', '127.0.0.3', '127.0.0.12']) {
        const forged: Headers = [...ci, ['X-Forwarded-For', proxy], ['X-Real-IP', proxy]]
        const reply = await ask(from(address), `GET ${manifest}`, forged)
        assert.equal(reply.status, 404, address)
        assert.equal(reply.headers['x-forwarded-user'], undefined)
        const below = await send(from(address), `GET /forward-auth${manifest}`, ci)
        assert.equal(below.status, 404, address)
      }
      for (const path of [
        '/forward-authx',
        '/Forward-Auth',
        '/forward-auth%2f',
        '//forward-auth',
      ]) {
        const original: Headers = [
          ['X-Forwarded-Method', 'GET'],
          ['X-Forwarded-Uri', manifest],
        ]
        assert.equal((await send(from(proxy), `GET ${path}`, [...original, ...ci])).status, 404)
      }
    })

    test('what could be read in two ways is refused', async () => {
      for (const uri of [
        ...['/v2/team/app/../../core/manifests/v1', '/v2/team//app/manifests/v1', '/v2/./team/'],
        ...['/v2/team/%2e%2e/core/manifests/v1', '/v2/team%2Fapp/manifests/v1', `${manifest}/`],
        ...[`${manifest};x`, '/v2\\team\\app', `${manifest}%00`, `/V2${manifest.slice(3)}`],
        ...[`http://registry.test${manifest}`, `/v2/${'team/'.repeat(300)}manifests/v1`, '*', '/'],
        ...['/token', '/forward-auth', `${manifest}#x`, `${mount}&from=team/a&from=core/a`],
        ...[`${mount};from=core/a`, `${mount}&From=core/a`],
      ]) {
        assertRefused(await nginx(`GET ${uri}`, ci), 403, uri)
        assertRefused(await nginx(`POST ${uri}`, ci), 403, uri)
      }
      const form: Headers = [['Content-Type', 'application/x-www-form-urlencoded']]
      const start = 'POST /v2/team/app/blobs/uploads/'
      assertRefused(await nginx(start, [...ci, ...form]), 403)
      assertAllowed(await nginx(start, [...ci, ['Content-Type', '']]), 'ci', 'devs,a%2cb')
    })

    test('one line must tell the method, and one the target', async () => {
      const method = ['X-Forwarded-Method', 'GET'] as const
      const uri = ['X-Forwarded-Uri', manifest] as const
      const refused: readonly Headers[] = [
        [method],
        [uri],
        [],
        [['X-Forwarded-Method', ''], uri],
        [method, ['X-Forwarded-Uri', '']],
        [method, uri, ['x-forwarded-uri', manifest]],
        [method, uri, ['X-Forwarded-Method', 'GET']],
        [['X-Forwarded-Uri', ''], method, uri],
        [['X-Forwarded-Method', 'GET, GET'], uri],
        [['X-Forwarded-Method', 'get'], uri],
        [['X-Forwarded-Method', 'POST'], uri],
        [['X-Forwarded-Method', 'OPTIONS'], uri],
        [uri, ['X-HTTP-Method-Override', 'GET']],
      ]
      for (const headers of refused) {
        const reply = await send(from(proxy), 'GET /forward-auth', [...headers, ...ci])
        assertRefused(reply, 403, JSON.stringify(headers))
      }
      // The method of the question itself means nothing; nor does its query.
      for (const line of ['HEAD /forward-auth', 'DELETE /forward-auth', 'GET /forward-auth?a=b']) {
        const put: Headers = [['X-Forwarded-Method', 'PUT'], uri]
        const isHead = line.startsWith('HEAD')
        const reply = await send(from(proxy), line, [...put, ...bob], isHead)
        assert.equal(reply.status, 403, line)
      }
    })

    test('as Envoy asks: below the path, with the method of the request itself', async () => {
      const envoy = (line: string, headers: Headers): Promise<RawReply> => {
        const [method = '', uri = ''] = line.split(' ')
        const isHead = method === 'HEAD'
        return send(from(proxy), `${method} /forward-auth${uri}`, headers, isHead)
      }
      const none = ['Content-Length', '0'] as const
      for (const [request] of kinds) {
        if (request.includes('tags/list')) continue
        const isBodiless = /^(GET|HEAD|DELETE) /.test(request)
        const more = isBodiless ? [] : [none]
        assertAllowed(await envoy(request, [...ci, ...more]), 'ci', 'devs,a%2cb', request)
        if (request === 'GET /v2/') continue
        const refused = await envoy(request.replace('team/app', 'core/app'), [...bob, ...more])
        if (request.startsWith('HEAD')) assert.equal(refused.status, 403, request)
        else assertRefused(refused, 403, request)
      }
      // The headers of the other form are the client's own there.
      const forged: Headers = [
        ['X-Forwarded-Method', 'GET'],
        ['X-Forwarded-Uri', '/v2/public/app/manifests/v1'],
      ]
      assertRefused(await envoy(`PUT ${manifest}`, [...forged, ...bob, none]), 403)
      for (const path of ['/', '//v2/', '/../v2/', '/v2/../v2/', '/%2e%2e/v2/']) {
        assertRefused(await envoy(`GET ${path}`, ci), 403, path)
      }
    })

    test('a mount needs leave to read its source, and needs to name it', async () => {
      assertAllowed(await nginx(`POST ${mount}&from=public/app`, ci), 'ci', 'devs,a%2cb')
      assertRefused(await nginx(`POST ${mount}&from=core/app`, ci), 403)
      assertRefused(await nginx(`POST ${mount}`, ci), 403)
      assertRefused(await nginx(`POST ${mount}&from=`, ci), 403)
      assertRefused(await nginx(`POST ${mount}&from=public/app`, bob), 403)
      assertRefused(await nginx(`POST ${mount}&from=public/app`), 401)
    })

    test('no header makes anybody a user, though a gateway connects from the same address', async () => {
      const secret = ['X-Gateway-Secret', 'the secret of the gateway'] as const
      const forged: Headers = [
        ['X-Forwarded-User', 'ci'],
        ['X-Forwarded-Groups', 'devs'],
      ]
      for (const headers of [forged, [secret, ...forged]]) {
        assertRefused(await nginx(`GET ${manifest}`, headers), 401)
        assertAllowed(await nginx('GET /v2/public/app/manifests/v1', headers), '', '')
        assertAllowed(await nginx('GET /v2/', [...bob, ...headers]), 'bob', '')
      }
      const direct = await send(from(proxy), `GET ${manifest}`, [secret, ...forged])
      assert.equal(direct.status, 404, 'the gateway itself')
    })

    test('policies and limits see the address of the client', async () => {
      const local = 'GET /v2/local/app/manifests/v1'
      assertAllowed(await nginx(local, by('198.51.100.7')), '', '')
      assertRefused(await nginx(local, by('198.51.100.8')), 401)
      assertRefused(await nginx(local, by('198.51.100.7, 198.51.100.8')), 401)
      assertRefused(await nginx(local), 401)
      const list = 'GET /v2/team/app/tags/list'
      assertAllowed(await nginx(list, [...ci, ...by('198.51.100.1')]), 'ci', 'devs,a%2cb')
      const limited = await nginx(list, [...ci, ...by('198.51.100.1')])
      assert.equal(limited.status, 429)
      assert.match(limited.headers['retry-after'] ?? '', /^\d+$/)
      assert.equal(limited.headers['cache-control'], 'no-store')
      assertAllowed(await nginx(list, [...ci, ...by('198.51.100.2')]), 'ci', 'devs,a%2cb')
    })

    test('refusals are on record, under their id, with the request that was refused', async () => {
      const address = by('198.51.100.9')
      const put = await nginx('PUT /v2/core/app/manifests/v1', [...bob, ...address])
      await recorded({
        ...{ decision_id: put.headers['x-auth-decision-id'], allowed: false },
        ...{ action: 'put-manifest', method: 'PUT', path: '/v2/core/app/manifests/v1' },
        client_ip: '198.51.100.9',
      })
      // Those that no policy was asked about.
      const login = await nginx('GET /v2/', basic('bob', 'guess'))
      await recorded({ decision_id: login.headers['x-auth-decision-id'], path: '/v2/' })
      const unclear = await nginx('GET /v2/..', ci)
      await recorded({ decision_id: unclear.headers['x-auth-decision-id'], action: null })
    })
  })
}
