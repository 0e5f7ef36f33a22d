// Answers for the questions of a proxy in tests of forward_auth: a configuration with users and rules,
// requests as nginx, Traefik and Envoy make them, and what an answer must have.
import assert from 'node:assert/strict'
import { hashPassword } from '../../workers/credentials.ts'
import { RawConnection, type RawReply, type RawTarget } from '../support/raw-http.ts'

const password = 'tuesday-fjord-lemon'
const hash = JSON.stringify(hashPassword(password))
export const proxy: string = '127.0.0.2'
export const digest: string = `sha256:${'a'.repeat(64)}`
export const manifest: string = '/v2/team/app/manifests/v1'
export const mount: string = `/v2/team/app/blobs/uploads/?mount=${digest}`

export const forwardAuth: string = `
[server.forward_auth]
proxies = ["${proxy}", "127.0.0.8/30"]
`
export const users: string = `
[auth.identity.build]
username = "ci"
password = ${hash}
groups = ["devs", "a,b"]
[auth.identity.other]
username = "bob"
password = ${hash}
`
export const gateway: string = `
[auth.gateway]
proxies = ["${proxy}"]
groups_header = "X-Forwarded-Groups"
shared_secret = "the secret of the gateway"
`
export const policy: string = `
[global.access_policy]
default = "deny"
rules = [
  "'devs' in identity.groups && (!has(request.repository) || request.repository.startsWith('team/'))",
  "request.action == 'get-api-version' && identity.username != null",
  "request.repository == 'public/app' && request.action in ['get-manifest', 'get-blob']",
  "request.repository == 'local/app' && identity.client_ip == '198.51.100.7'",
  "identity.certificate.common_names.contains('edge')",
]
`

export type Headers = readonly (readonly [name: string, value: string])[]

export function basic(username: string, text: string = password): Headers {
  return [['Authorization', `Basic ${Buffer.from(`${username}:${text}`).toString('base64')}`]]
}
export const ci: Headers = basic('ci')
export const bob: Headers = basic('bob')

/** The request that a proxy makes, whatever the client's was. */
export async function send(
  target: RawTarget,
  line: string,
  headers: Headers,
  isHead = false,
): Promise<RawReply> {
  const client = await RawConnection.open(target)
  try {
    const lines = [['Host', 'registry.test'] as const, ...headers]
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    client.write(`${line} HTTP/1.1\r\n${head}\r\n`)
    return await client.reply({ isHead })
  } finally {
    client.close()
  }
}

/** As nginx and Traefik ask. */
export function ask(target: RawTarget, request: string, headers: Headers = []): Promise<RawReply> {
  const [method = '', uri = ''] = request.split(' ')
  const original: Headers = [
    ['X-Forwarded-Method', method],
    ['X-Forwarded-Uri', uri],
  ]
  return send(target, 'GET /forward-auth', [...original, ...headers])
}

export function assertRefused(reply: RawReply, status: number, what = ''): RawReply {
  const id = reply.headers['x-auth-decision-id']
  assert.equal(reply.status, status, `${what} ${reply.body}`)
  assert.match(id ?? '', /^[0-9a-f-]{36}$/, what)
  assert.ok(reply.body.includes(`"decisionId":"${id}"`), what)
  assert.equal(reply.headers['x-auth-decision'], 'deny', what)
  assert.equal(reply.headers['cache-control'], 'no-store', what)
  assert.equal(reply.headers['www-authenticate'] !== undefined, status === 401, what)
  assert.equal(reply.headers['x-forwarded-user'], undefined, what)
  return reply
}

export function assertAllowed(reply: RawReply, user: string, groups: string, what = ''): void {
  assert.equal(reply.status, 200, `${what} ${reply.body}`)
  assert.equal(reply.headers['x-forwarded-user'], user, what)
  assert.equal(reply.headers['x-forwarded-groups'], groups, what)
  assert.equal(reply.headers['x-auth-decision'], 'allow', what)
  assert.equal(reply.headers['cache-control'], 'no-store', what)
  assert.equal(reply.headers['content-length'], '0', what)
  assert.equal(reply.body.length, 0, what)
}
