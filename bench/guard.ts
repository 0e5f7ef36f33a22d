// What stands before the requests of a scenario: policies, logins and the access log, and what its
// clients show.

import { REPOSITORY } from './content.ts'
import type { Guard, Origin } from './contract.ts'
import { get } from './load/get.ts'

const SERVICE = 'registry.example.com'
const USER = 'ci'
export const PASSWORD = 'tuesday-fjord-lemon'
/** Of that password, with the costs that `keelson argon` takes. */
export const PASSWORD_HASH =
  '$argon2id$v=19$m=19456,t=2,p=1$z6PHLYOwEhctwQ6qdCg+kQ$1AyYzQrgPU45ZuJ+eZkzRbEWrst1Wj3vgN82L/1Cdvs'

// Nine that do not hold, as a grown configuration has them before the one that does.
const REFUSING: readonly string[] = [
  `identity.groups.contains('admins')`,
  `identity.username == 'release' && request.action in ['start-upload', 'complete-upload', 'put-manifest']`,
  `has(request.repository) && request.repository.startsWith('public/') && request.action in ['get-manifest', 'get-blob', 'list-tags']`,
  `identity.username != '' && request.action == 'get-api-version'`,
  `identity.groups.contains('audit') && request.action.startsWith('list-')`,
  `identity.certificate.organizations.contains('Platform')`,
  `has(request.repository) && request.repository.matches('^mirror/[a-z0-9-]+/') && request.action.startsWith('get-')`,
  `has(request.repository) && request.repository.startsWith(identity.username + '/')`,
  `identity.groups.contains('operators') && request.action == 'list-catalog'`,
]

const OURS = `has(request.repository) && request.repository.startsWith('bench/')`

/** The rules of the global policy; the last one allows what the bench does. */
export function guardRules(guard: Exclude<Guard, 'open'>): readonly string[] {
  const allowing = guard === 'anonymous' ? OURS : `identity.username == '${USER}' && ${OURS}`
  return [...REFUSING, allowing]
}

const OPEN = `
[global.access_policy]
default = "allow"
`

/** Tables of Keelson's configuration. */
export function guardTables(guard: Guard): string {
  if (guard === 'open') return OPEN
  const rules = guardRules(guard).map((rule) => `  ${JSON.stringify(rule)},\n`)
  const tokens = guard === 'bearer' ? `\n[auth.token_service]\nservice = "${SERVICE}"\n` : ''
  return `
[log]
access = "all"
${tokens}
[auth.identity.${USER}]
username = "${USER}"
password = "${PASSWORD_HASH}"
groups = ["builders", "eu", "nightly"]

[global.access_policy]
default = "deny"
rules = [
${rules.join('')}]
`
}

async function fetchToken(origin: Origin, basic: string): Promise<string> {
  const path = `/token?service=${SERVICE}&scope=repository:${REPOSITORY}:pull,push`
  const answer = await get({ ...origin, authorization: basic }, path)
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  const said = Buffer.concat(chunks).toString()
  const { token } = JSON.parse(said) as { readonly token?: string }
  if (token === undefined) throw new Error(`/token: ${answer.statusCode} ${said}`)
  return token
}

/** The Authorization header of clients; a token is asked for as Docker does it. */
export async function authorizationFor(guard: Guard, origin: Origin): Promise<string | undefined> {
  if (guard === 'open' || guard === 'anonymous') return undefined
  const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`
  return guard === 'basic' ? basic : `Bearer ${await fetchToken(origin, basic)}`
}
