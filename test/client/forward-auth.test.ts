// Goal: a registry that knows no users does what the policies of ours allow, for real clients, where nginx
// stands before it as docs/gateway.md says. Method: that page's blocks, Debian's docker-registry, Docker,
// podman and skopeo; and raw requests against the seams between the three programs.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDockerd } from '../support/engines.ts'
import { dockerArchive, makeImage } from '../support/images.ts'
import { RawConnection, type RawReply } from '../support/raw-http.ts'
import { digestOf } from '../support/registry-client.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import { containersEnv } from '../support/scene.ts'
import { needs, needsRootAnd } from '../support/tools.ts'
import { until } from '../support/until.ts'
import { type GuardedRegistry, openGuardedRegistry, password } from './guarded-registry.ts'

// Larger than what nginx would keep in memory.
const imageOptions = { layers: 2, bytesPerLayer: 24_000_000, seed: 'guarded' } as const

/** One client, as it is typed; `name` is a repository. */
interface Client {
  login(username: string, password: string): Promise<Finished>
  logout(): Promise<unknown>
  push(name: string): Promise<Finished>
  pull(name: string): Promise<Finished>
}

function assertDone(what: string, { code, stdout, stderr }: Finished): void {
  assert.equal(code, 0, `${what}\n${stdout}\n${stderr}`)
}

function assertDenied(what: string, { code, stdout, stderr }: Finished, message: RegExp): void {
  assert.notEqual(code, 0, `${what} succeeded`)
  assert.match(`${stdout}\n${stderr}`, message, what)
}

interface Messages {
  readonly wrongPassword: RegExp
  readonly nobody: RegExp
  readonly denied: RegExp
  /** Without a token service this client does not ask without a password. */
  readonly needsLogin?: true
}

async function assertRound(
  guarded: GuardedRegistry,
  client: Client,
  { wrongPassword, nobody, denied, needsLogin }: Messages,
): Promise<void> {
  assertDenied('an anonymous push', await client.push('ann/app'), nobody)
  const login = await client.login('ann', `${password}!`)
  assertDenied('a wrong password', login, wrongPassword)
  assertDone('login', await client.login('ann', password))
  assertDone('a push', await client.push('ann/app'))
  assertDone('a pull', await client.pull('ann/app'))
  assertDone('a pull of what is public', await client.pull('public/app'))
  assertDenied('a push to what is public', await client.push('public/app'), denied)
  assertDenied("a push to another's", await client.push('bob/app'), denied)
  await client.logout()
  assertDenied('a pull after the logout', await client.pull('ann/app'), nobody)
  const open = await client.pull('public/app')
  if (needsLogin === true) assertDenied('an anonymous pull', open, nobody)
  else assertDone('an anonymous pull', open)
  assertDone('login', await client.login('bob', password))
  assertDenied("a pull of another's", await client.pull('ann/app'), denied)
  assertDone('a pull of what is public', await client.pull('public/app'))
  await client.logout()
  // What was allowed is there, and nothing else.
  const registry = guarded.direct()
  for (const [name, status] of [
    ['ann/app', 200],
    ['bob/app', 404],
  ] as const) {
    assert.equal((await registry.get(`/v2/${name}/tags/list`)).status, status, name)
  }
  registry.close()
}

const ways = [
  { way: 'with the token service', hasTokens: true },
  { way: 'with passwords', hasTokens: false },
] as const

for (const { way, hasTokens } of ways) {
  test(
    `docker before another registry, ${way}`,
    needsRootAnd('nginx', 'docker-registry', 'docker', 'dockerd'),
    async (t) => {
      const guarded = await openGuardedRegistry(t, { hasTokens })
      const { dir, host } = guarded
      const image = await seededImage(guarded)
      const env = {
        ...process.env,
        DOCKER_HOST: await startDockerd(guarded),
        DOCKER_CONFIG: join(dir, 'config'),
      }
      const docker = (args: readonly string[], input = ''): Promise<Finished> =>
        attempt('docker', args, { env, input })
      const archive = join(dir, 'load.tar')
      await writeFile(archive, await dockerArchive(image, imageOptions, 'kept:v1'))
      await run('docker', ['load', '-i', archive], { env })
      const client: Client = {
        login: (user, secret) => docker(['login', '-u', user, '--password-stdin', host], secret),
        logout: () => docker(['logout', host]),
        push: async (name) => {
          await docker(['tag', 'kept:v1', `${host}/${name}:v1`])
          return docker(['push', `${host}/${name}:v1`])
        },
        pull: async (name) => {
          await docker(['rmi', `${host}/${name}:v1`])
          return docker(['pull', `${host}/${name}:v1`])
        },
      }
      await assertRound(guarded, client, {
        wrongPassword: /unauthorized/i,
        nobody: hasTokens
          ? /requested access to the resource is denied|access denied/
          : /no basic auth credentials/,
        denied: /denied/,
        ...(hasTokens ? {} : { needsLogin: true }),
      })
    },
  )

  test(
    `skopeo before another registry, ${way}`,
    needs('nginx', 'docker-registry', 'skopeo'),
    async (t) => {
      const guarded = await openGuardedRegistry(t, { hasTokens })
      const { dir, host } = guarded
      const image = await seededImage(guarded)
      const env = await containersEnv(dir)
      const skopeo = (args: readonly string[], input = ''): Promise<Finished> =>
        attempt('skopeo', args, { env, input })
      let pulls = 0
      const client: Client = {
        login: (user, secret) =>
          skopeo(['login', '--tls-verify=false', '-u', user, '--password-stdin', host], secret),
        logout: () => skopeo(['logout', host]),
        push: (name) =>
          skopeo([
            ...['copy', '--dest-tls-verify=false', `oci:${image.dir}:latest`],
            `docker://${host}/${name}:v1`,
          ]),
        pull: (name) => {
          pulls += 1
          const to = `oci:${join(dir, `pulled-${pulls}`)}:v1`
          return skopeo(['copy', '--src-tls-verify=false', `docker://${host}/${name}:v1`, to])
        },
      }
      await assertRound(guarded, client, {
        wrongPassword: /invalid username\/password|unauthorized/i,
        nobody: /denied|unauthorized|authentication required/i,
        denied: /denied|403 \(Forbidden\)/,
      })
    },
  )
}

test(
  'podman before another registry',
  needsRootAnd('nginx', 'docker-registry', 'podman'),
  async (t) => {
    const guarded = await openGuardedRegistry(t, { hasTokens: true })
    const { dir, host } = guarded
    const image = await seededImage(guarded)
    const env = await containersEnv(dir)
    const storage = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run')]
    const flags = [...storage, '--storage-driver', 'vfs']
    const podman = (args: readonly string[], input = ''): Promise<Finished> =>
      attempt('podman', [...flags, ...args], { env, input })
    const path = join(dir, 'load.tar')
    await writeFile(path, await dockerArchive(image, imageOptions, 'localhost/made:v1'))
    await run('podman', [...flags, 'load', '-i', path], { env })
    const client: Client = {
      login: (user, secret) =>
        podman(['login', '--tls-verify=false', '-u', user, '--password-stdin', host], secret),
      logout: () => podman(['logout', host]),
      push: (name) =>
        podman(['push', '--tls-verify=false', 'localhost/made:v1', `${host}/${name}:v1`]),
      pull: async (name) => {
        await podman(['rmi', `${host}/${name}:v1`])
        return podman(['pull', '--tls-verify=false', `${host}/${name}:v1`])
      },
    }
    await assertRound(guarded, client, {
      wrongPassword: /invalid username\/password|unauthorized/i,
      nobody: /denied|unauthorized|authentication required/i,
      denied: /denied|403 \(Forbidden\)/,
    })
  },
)

test(
  'no request slips between nginx, ours and the other registry',
  needs('nginx', 'docker-registry'),
  async (t) => {
    const guarded = await openGuardedRegistry(t, { hasTokens: false })
    const blob = Buffer.from('what ann alone may read')
    const digest = digestOf(blob)
    const registry = guarded.direct()
    await registry.pushBlob('ann/app', blob)
    const bob = `Authorization: Basic ${Buffer.from(`bob:${password}`).toString('base64')}`
    const ann = `Authorization: Basic ${Buffer.from(`ann:${password}`).toString('base64')}`

    const ask = async (line: string, lines: readonly string[], body = ''): Promise<number> => {
      const client = await RawConnection.open({ path: guarded.frontSocket })
      const length = line.startsWith('POST') ? [`Content-Length: ${body.length}`] : []
      const head = [`${line} HTTP/1.1`, 'Host: registry.test', ...lines, ...length]
      client.write(`${head.join('\r\n')}\r\n\r\n${body}`)
      const { status } = await client.reply()
      client.close()
      return status
    }
    assert.equal(await ask(`GET /v2/ann/app/blobs/${digest}`, [ann]), 200)
    const forged = [
      'X-Forwarded-User: ann',
      'X-Forwarded-Method: GET',
      'X-Forwarded-Uri: /v2/public/app/manifests/v1',
    ]
    for (const path of [
      ...['/v2/ann/app', '//v2/ann/app', '/v2//ann/app', '/v2/./ann/app', '/x/../v2/ann/app'],
      ...['/v2/public/../ann/app', '/v2/public/%2e%2e/ann/app', '/v2/public%2F..%2Fann/app'],
      ...['/v2/public/app/../../ann/app', '/V2/ann/app', '/%762/ann/app', '/v2/%61nn/app'],
      ...['http://registry.test/v2/ann/app', '/v2\\ann\\app', '/v2/bob/..%2fann/app', '/decide'],
      ...['/forward-auth/v2/ann/app', '/decide/../v2/ann/app'],
    ]) {
      for (const headers of [[bob], [], [bob, ...forged], forged]) {
        const status = await ask(`GET ${path}/blobs/${digest}`, headers)
        assert.ok([400, 401, 403, 404].includes(status), `${path} ${status}`)
      }
    }

    const start = 'POST /v2/bob/app/blobs/uploads/'
    const mount = `mount=${digest}&from=ann/app`
    const form = ['Content-Type: application/x-www-form-urlencoded']
    assert.equal(await ask(`${start}?${mount}`, [bob]), 403)
    assert.equal(await ask(start, [bob, ...form], mount), 403)
    assert.equal(await ask(`${start}?mount=${digest}`, [bob]), 403)
    assert.equal(await ask(`${start}?x;${mount.replace('&', ';')}`, [bob]), 403)
    assert.equal(await ask(start, [bob]), 202)
    const copied = await registry.call('HEAD', `/v2/bob/app/blobs/${digest}`)
    assert.equal(copied.status, 404)
    registry.close()
  },
)

test(
  'the other registry hears whom ours knows, and nothing that the client says of itself',
  needs('nginx'),
  async (t) => {
    const heard: IncomingHttpHeaders[] = []
    const guarded = await openGuardedRegistry(t, {
      hasTokens: true,
      startRegistry: async (path, onEnd) => {
        const registry = createServer(({ headers }, response) => {
          heard.push(headers)
          response.end()
        }).listen(path)
        await once(registry, 'listening')
        onEnd(async () => registry.close())
      },
    })
    const ask = async (path: string, ...lines: readonly string[]): Promise<RawReply> => {
      const client = await RawConnection.open({ path: guarded.frontSocket })
      const forged = [
        'User: root',
        'Groups: root',
        'Method: GET',
        'Uri: /v2/public/app/manifests/v1',
      ]
      const more = forged.map((line) => `X-Forwarded-${line}`)
      const head = [`GET ${path} HTTP/1.1`, 'Host: registry.test', ...more, ...more, ...lines]
      client.write(`${head.join('\r\n')}\r\n\r\n`)
      const reply = await client.reply()
      client.close()
      return reply
    }
    const login = (name: string): string =>
      `Authorization: Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`

    assert.equal((await ask('/v2/ann/app/manifests/v1', login('ann'))).status, 200)
    assert.equal((await ask('/v2/public/app/manifests/v1')).status, 200)
    const users = heard.map((headers) => [
      headers['x-forwarded-user'],
      headers['x-forwarded-groups'],
      headers.authorization,
    ])
    assert.deepEqual(users, [
      ['ann', undefined, undefined],
      [undefined, undefined, undefined],
    ])

    for (const [status, code, reply] of [
      [401, 'UNAUTHORIZED', await ask('/v2/ann/app/manifests/v1')],
      [403, 'DENIED', await ask('/v2/ann/app/manifests/v1', login('bob'))],
    ] as const) {
      assert.equal(reply.status, status)
      assert.equal(reply.headers['content-type'], 'application/json')
      const { errors } = JSON.parse(reply.body.toString()) as {
        readonly errors: readonly [{ code: string; detail: { decisionId: string } }]
      }
      assert.equal(errors[0].code, code)
      const { decisionId } = errors[0].detail
      assert.match(decisionId, /^[0-9a-f-]{36}$/)
      // Who shows nothing is not worth a line.
      if (status === 403) {
        await until('the refusal in the log', () =>
          guarded.keelson.log.some((line) => line.includes(decisionId)),
        )
      }
      assert.equal(
        reply.headers['www-authenticate'],
        status === 403
          ? undefined
          : 'Bearer realm="http://registry.test/token",service="registry.example.com",scope="repository:ann/app:pull"',
      )
    }
    assert.equal(heard.length, 2)
    // Without an answer of ours nothing passes.
    await guarded.keelson.stop()
    assert.equal((await ask('/v2/public/app/manifests/v1')).status, 500)
    assert.equal(heard.length, 2)
  },
)

/** An image for the client to push; `public/app:v1` is there. */
async function seededImage(guarded: GuardedRegistry) {
  const image = await makeImage(join(guarded.dir, 'made'), imageOptions)
  await guarded.seed('public/app', image)
  return image
}
