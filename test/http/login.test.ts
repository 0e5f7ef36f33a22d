// Logging in with a password: who gets in, what the others are told, and what is counted and logged.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type Server, startServer } from '../support/server.ts'
import { adminCall, poll, temporaryFolder } from './product.ts'

const password = 'tuesday-fjord-lemon'

function policyOf(...rules: readonly string[]): string {
  return `[global.access_policy]\ndefault = "deny"\nrules = ${JSON.stringify(rules)}\n`
}

function basic(username: string, secret: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` }
}

interface Scene {
  server: Server
  get(path: string, headers?: Record<string, string>): Promise<Response>
}

function useServer(toml: () => Promise<string>): Scene {
  const scene = {
    get: (path: string, headers: Record<string, string> = {}) =>
      fetch(`${scene.server.url}${path}`, { headers }),
  } as Scene
  before(async () => {
    const base = '[server]\nport = 0\n'
    const rootDir = temporary.path
    const store = `[blob_store.fs]\nroot_dir = ${JSON.stringify(join(rootDir, 'data'))}\n`
    scene.server = await startServer({ base: `${base}${store}${await toml()}` })
  })
  after(async () => {
    const exit = await scene.server.stop()
    assert.equal(exit.code, 0)
  })
  const temporary = temporaryFolder()
  return scene
}

describe('a registry with users', () => {
  const hash = hashPassword(password)
  const folder = temporaryFolder()
  const scene = useServer(async () => {
    const htpasswd = join(folder.path, 'htpasswd')
    await writeFile(htpasswd, `legacy:${hash}\n`)
    return `
[auth]
htpasswd = ${JSON.stringify(htpasswd)}
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hash)}
groups = ["builders"]
${policyOf(
  "'builders' in identity.groups || identity.username == 'legacy'",
  "request.action == 'get-manifest' && request.namespace.startsWith('public/')",
)}`
  })

  test('asks for a login at /v2/, with a challenge', async () => {
    const response = await scene.get('/v2/')
    assert.equal(response.status, 401)
    assert.equal(response.headers.get('www-authenticate'), 'Basic realm="keelson"')
    const { errors } = (await response.json()) as { errors: Array<{ code: string }> }
    assert.equal(errors[0]?.code, 'UNAUTHORIZED')
  })

  test('lets in who has the password, of the configuration or of the htpasswd file', async () => {
    for (const username of ['ci', 'legacy']) {
      assert.equal((await scene.get('/v2/', basic(username, password))).status, 200)
    }
  })

  test('refuses a wrong password, an unknown name and a malformed credential at /v2/', async () => {
    for (const headers of [
      basic('ci', 'wrong'),
      basic('nobody', password),
      { authorization: 'Basic %%%' },
      { authorization: 'Negotiate abc' },
    ]) {
      assert.equal((await scene.get('/v2/', headers)).status, 401)
    }
  })

  test('serves what is public without a login, and with a wrong one', async () => {
    for (const headers of [{}, basic('ci', 'wrong')]) {
      assert.equal((await scene.get('/v2/public/app/manifests/v1', headers)).status, 404)
      assert.equal((await scene.get('/v2/private/app/manifests/v1', headers)).status, 401)
    }
    const known = await scene.get('/v2/private/app/manifests/v1', basic('ci', password))
    assert.equal(known.status, 404)
  })

  test('counts every attempt', async () => {
    const socket = join(await rootOf(scene), '_keelson', 'admin.sock')
    const { body } = await adminCall(socket, '/metrics')
    const count = (result: string): number =>
      Number(
        new RegExp(`auth_attempts_total\\{method="basic",result="${result}"\\} (\\d+)`).exec(
          body,
        )?.[1],
      )
    assert.ok(count('success') >= 3, body)
    assert.ok(count('failure') >= 3, body)
  })

  test('logs each login once, and no password ever', async () => {
    await poll(
      'the logins in the log',
      async () =>
        scene.server.log.some((line) => line.includes('"reason":"wrong-password"')) || undefined,
    )
    const lines = scene.server.log.join('\n')
    assert.equal(lines.match(/"logged in"/g)?.length, 2)
    assert.doesNotMatch(lines, new RegExp(password))
    assert.doesNotMatch(lines, new RegExp(basic('ci', password).authorization.slice(6)))
  })
})

async function rootOf(scene: Scene): Promise<string> {
  const line = scene.server.log.find((each) => each.includes('"serving"')) ?? '{}'
  const { admin } = JSON.parse(line) as { admin: string }
  return join(admin, '..', '..')
}

describe('guessing passwords', () => {
  const scene = useServer(
    async () => `
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
${policyOf("identity.username == 'ci'")}`,
  )

  test('is answered 429 after a few guesses, while those at work go on', async () => {
    assert.equal((await scene.get('/v2/', basic('ci', password))).status, 200)
    const statuses: number[] = []
    for (let i = 0; i < 7; i += 1) {
      statuses.push((await scene.get('/v2/', basic('ci', `guess ${i}`))).status)
    }
    assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429])
    const refused = await scene.get('/v2/', basic('ci', 'guess 9'))
    assert.ok(Number(refused.headers.get('retry-after')) >= 1)
    assert.equal((await scene.get('/v2/', basic('ci', password))).status, 200)
  })
})
