// Answers for what decides in the decision matrix: who asks for what, with every action that is served, and
// what a server must answer to each.
import assert from 'node:assert/strict'
import type { PolicyAction } from '../../src/authorize/policy/variables.ts'
import { hashPassword } from '../../workers/credentials.ts'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'

export const blob: Buffer = Buffer.from('decided about')
export const digest: string = digestOf(blob)
const password = 'tuesday-fjord-lemon'

/** `ann` is whom rules and services allow, `dan` whom they deny. */
export const callers = ['anonymous', 'ann', 'dan'] as const
export type Caller = (typeof callers)[number]

export const users: string = ['ann', 'dan']
  .map((name) => {
    const hash = JSON.stringify(hashPassword(password))
    return `[auth.identity.${name}]\nusername = "${name}"\npassword = ${hash}\n`
  })
  .join('')

export function headersOf(caller: Caller): Readonly<Record<string, string>> {
  if (caller === 'anonymous') return {}
  return { authorization: `Basic ${Buffer.from(`${caller}:${password}`).toString('base64')}` }
}

interface Row {
  readonly method: string
  /** Where `session` is an upload of the repository. */
  readonly target: (repository: string, session: string) => string
  /** In a repository that holds nothing. */
  readonly allowed: number
}

const row = (method: string, path: string, allowed: number): Row => ({
  ...{ method, allowed },
  target: (repository, session) =>
    path.replaceAll('{r}', `/v2/${repository}`).replaceAll('{u}', session),
})

const rows: Readonly<Record<PolicyAction, readonly Row[]>> = {
  'get-api-version': [row('GET', '/v2/', 200), row('HEAD', '/v2/', 200)],
  'list-catalog': [row('GET', '/v2/_catalog', 200)],
  'list-tags': [row('GET', '{r}/tags/list', 404)],
  'get-referrers': [row('GET', `{r}/referrers/${digest}`, 200)],
  'get-manifest': [row('GET', '{r}/manifests/v1', 404), row('HEAD', '{r}/manifests/v1', 404)],
  'put-manifest': [
    row('PUT', '{r}/manifests/new', 400),
    row('PUT', `{r}/manifests/${digest}`, 400),
  ],
  'delete-manifest': [row('DELETE', '{r}/manifests/v1', 404)],
  'get-blob': [row('GET', `{r}/blobs/${digest}`, 404), row('HEAD', `{r}/blobs/${digest}`, 404)],
  'delete-blob': [row('DELETE', `{r}/blobs/${digest}`, 404)],
  'start-upload': [
    row('POST', '{r}/blobs/uploads/', 202),
    row('POST', `{r}/blobs/uploads/?digest=${digestOf(Buffer.from('other'))}`, 400),
  ],
  'mount-blob': [row('POST', `{r}/blobs/uploads/?mount=${digest}&from=nowhere`, 202)],
  'get-upload': [row('GET', '{u}', 404)],
  'update-upload': [row('PATCH', '{u}', 404)],
  'complete-upload': [row('PUT', `{u}?digest=${digest}`, 404)],
  'cancel-upload': [row('DELETE', '{u}', 404)],
  metrics: [row('GET', '/metrics', 200), row('HEAD', '/metrics', 200)],
  healthz: [row('GET', '/healthz', 200), row('HEAD', '/healthz', 200)],
  readyz: [row('GET', '/readyz', 200), row('HEAD', '/readyz', 200)],
}

/** What a step comes to; where `allowed` says `nobody`, so for everybody. */
export type Expected = 'ann' | 'nobody' | 'everybody'

/** Of a server, with one content in each of some repositories. */
export class Decisions {
  readonly server: Server
  readonly #sessions = new Map<string, string>()

  private constructor(server: Server) {
    this.server = server
  }

  /** Memory stores; the users are there. */
  static async start(toml: string): Promise<Decisions> {
    const base = '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n'
    return new Decisions(await startServer({ base: `${base}${users}${toml}` }))
  }

  async stop(): Promise<void> {
    const exit = await this.server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, this.server.log.slice(-20).join('\n'))
  }

  /** `ann` pushes the blob and a manifest, and begins an upload. */
  async fill(repository: string): Promise<void> {
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [],
      }),
    )
    const types = { 'content-type': 'application/vnd.oci.image.index.v1+json' }
    const target = `/v2/${repository}`
    const pushed = await this.call('ann', 'POST', `${target}/blobs/uploads/?digest=${digest}`, blob)
    assertStatus(pushed, 201)
    assertStatus(await this.call('ann', 'PUT', `${target}/manifests/v1`, manifest, types), 201)
    const started = await this.call('ann', 'POST', `${target}/blobs/uploads/`)
    assertStatus(started, 202)
    this.#sessions.set(repository, started.headers['location'] ?? '')
  }

  /** Nothing of what was filled in has changed, and nothing has come. */
  async assertUntouched(repository: string): Promise<void> {
    const target = `/v2/${repository}`
    const session = this.#sessions.get(repository) ?? ''
    const found: Readonly<Record<string, number>> = {
      [`${target}/manifests/v1`]: 200,
      [`${target}/manifests/new`]: 404,
      [`${target}/blobs/${digest}`]: 200,
      [`${target}/blobs/${digestOf(Buffer.from('other'))}`]: 404,
      [session]: 204,
    }
    for (const [path, status] of Object.entries(found)) {
      const answer = await this.call('ann', 'GET', path)
      assertStatus(answer, status, path)
      if (path === session) assert.match(answer.headers['range'] ?? '0-0', /^0-(0|-1)$/)
    }
  }

  /** On a connection of its own, so that none waits for another. */
  async call(
    caller: Caller,
    method: string,
    target: string,
    body?: Uint8Array,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const client = new RegistryClient(this.server.url)
    const headers = { ...headersOf(caller), ...more }
    try {
      return await client.call(method, target, { headers, ...(body && { body }) })
    } finally {
      client.close()
    }
  }

  /**
   * Every action by every caller at once: 401 with a challenge, 403, or what an allowed one comes to. Where
   * somebody is allowed, `repository` holds nothing.
   */
  async assertDecided(repository: string, allowed: Expected, isGlobal = true): Promise<void> {
    const session = this.#sessions.get(repository)
    assert.ok(allowed === 'nobody' || session === undefined, 'requests would change what is there')
    const unknown = `/v2/${repository}/blobs/uploads/123e4567-e89b-42d3-a456-426614174000`
    const asks: Promise<void>[] = []
    for (const [action, each] of Object.entries(rows)) {
      const isInRepository = each.every(({ target }) => target('', 'u') !== target('x', 'u2'))
      if (!isGlobal && !isInRepository) continue
      for (const one of each) {
        const target = one.target(repository, session ?? unknown)
        for (const caller of callers)
          asks.push(this.#assertOne(action, one, target, caller, allowed))
      }
    }
    const problems = (await Promise.allSettled(asks)).flatMap((ask) =>
      ask.status === 'rejected' ? [ask.reason as Error] : [],
    )
    if (problems[0] !== undefined) throw problems[0]
  }

  async #assertOne(
    action: string,
    { method, allowed: status }: Row,
    target: string,
    caller: Caller,
    allowed: Expected,
  ): Promise<void> {
    const what = `${caller}: ${action}: ${method} ${target}`
    const body = ['GET', 'HEAD', 'DELETE'].includes(method) ? undefined : blob
    const answer = await this.call(caller, method, target, body)
    const challenge = answer.headers['www-authenticate']
    // Where clients find out whether to log in, nobody is let in without.
    const isLogin = caller === 'anonymous' && action === 'get-api-version'
    const isAllowed = !isLogin && (allowed === 'everybody' || allowed === caller)
    if (isAllowed) {
      assertStatus(answer, status, what)
      assert.equal(challenge, undefined, what)
      return
    }
    const refused = caller === 'anonymous' ? 401 : 403
    assertStatus(answer, refused, what)
    const expected = refused === 401 ? 'Basic realm="keelson"' : undefined
    assert.equal(challenge, expected, what)
    if (method !== 'HEAD')
      assertRefused(answer, refused, refused === 401 ? 'UNAUTHORIZED' : 'DENIED')
  }
}
