// A configuration that has every table of the schema which can stand beside the others, and for each
// key a text that changes it.
import type { Entry, Section } from '../../src/config/entry.ts'
import { schema } from '../../src/config/schema.ts'
import { formatConfig } from '../../src/config/summary.ts'
import { parseValue } from '../../src/config/value.ts'
import { parse } from './parse.ts'

const tls = 'server_certificate_bundle = "/c"\nserver_private_key = "/k"\n'
const pair = 'client_certificate = "/c"\nclient_private_key = "/k"\n'
const policy = 'default = "deny"\nrules = ["true"]\n'

/** With one listener that needs no list; the names that the user chooses are `a` and `b`. */
export const everyTable: string = `
[server.tls]
${tls}client_ca_bundle = "/a"
[auth.token_service]
[auth.identity.a]
username = "somebody"
password = "hash"
[auth.oidc.a]
issuer = "https://issuer.test"
introspection_url = "https://issuer.test/introspect"
introspection_client_id = "id"
introspection_client_secret = "secret"
${pair}[auth.ldap.a]
url = "ldaps://ldap.test"
${pair}[auth.webhook.a]
url = "https://a.test"
username = "a"
password = "a"
${pair}[auth.webhook.b]
url = "https://b.test"
[auth.opa.a]
url = "https://a.test"
path = "a/b"
${pair}[auth.opa.b]
url = "https://b.test"
path = "a/b"
[auth.gateway]
proxies = ["10.9.9.9"]
shared_secret = "a secret of the gateway"
[server.forward_auth]
proxies = ["10.9.9.9"]
[redis]
url = "rediss://redis.test"
hash_key = "a hash key that is as long as it must be"
sentinel_name = "name"
${pair}[global.quota]
[global.validation]
[global.access_policy]
${policy}[global.retention_policy]
[limits.rate.a]
requests = 7
[repository.a]
[repository.a.access_policy]
${policy}[repository.a.retention_policy]
[repository.a.quota]
[repository.a.validation]
[peer.a]
url = "https://a.test"
username = "a"
password = "a"
${pair}[blob_store.fs]
root_dir = "/srv"
[blob_store.fs.encryption]
keys = "${'a7'.repeat(31)}b8"
[metadata_store.lmdb]
path = "/srv/meta"
[admin]
socket = "/srv/admin.sock"
[tracing]
endpoint = "https://traces.test"
`

/** What cannot stand there: a cluster in place of sentinels. */
const cluster = '[redis]\nurl = "rediss://redis.test"\n[blob_store.fs]\nroot_dir = "/srv"\n'
/** In place of the other metadata store. */
const postgres = `
[metadata_store.postgres]
host = "127.0.0.1"
${pair}[blob_store.fs]
root_dir = "/srv"
`

/** In place of the other blob store. */
const s3 = `
[blob_store.s3]
bucket = "blobs"
access_key_id = "first"
secret_access_key = "second"
session_token = "third"
[metadata_store.lmdb]
path = "/srv/meta"
`

/** One key of one table, and what another value of it looks like in a file. */
export interface KeyChange {
  /** As the difference of two configurations names it. */
  readonly key: string
  readonly entry: Entry
  readonly base: string
  readonly overlay: string
}

const written = [
  `${'0123456789abcdef'.repeat(4)}`,
  ...['b', 'other', '/other', 'a/other', 'https://other.test', 'https://other.test/x'],
  ...[
    Buffer.alloc(32, 'other').toString('base64'),
    'rediss://other.test',
    'a text that is long enough',
    '127.0.0.2',
    '0600',
    '1.3',
    'X-Other',
  ],
  ...['2031-01-31T12:00:00Z', ['other'], ['X-Other'], ['10.8.8.8'], ['/other']],
  ...[['delete-manifest'], ['rediss://other.test'], true, false, 3, '7m', '7MiB'],
]

/**
 * For every row of the schema but those of listeners, whose list is replaced as a whole, and
 * `default_allow`, which is another way to write `default`.
 */
export function keyChanges(): readonly KeyChange[] {
  const sections: readonly (readonly [string, Section])[] = Object.entries(schema)
  return sections.flatMap(([table, section]) =>
    Object.entries(section.keys)
      .filter(([key]) => key !== 'default_allow' && !section.list)
      .map(([key, entry]) => changeOf(table, section, key, entry)),
  )
}

function changeOf(table: string, section: Section, key: string, entry: Entry): KeyChange {
  const name = section.named === undefined ? '' : key === 'bearer_token' ? '.b' : '.a'
  const path = `${table}${name}`
  const base = baseOf(table, key)
  const bounds = 'min' in entry ? [entry.min, entry.max] : []
  const choices = 'of' in entry ? [...entry.of, ...entry.of.map((choice) => [choice])] : []
  const more = 'example' in entry ? [entry.example] : []
  for (const value of [...written, ...bounds, ...choices, ...more]) {
    if (parseValue(entry, value, '/x') === undefined) continue
    const overlay = `[${path}]\n${key} = ${JSON.stringify(value)}\n`
    if (changes(base, overlay, entry)) return { key: `${path}.${key}`, entry, base, overlay }
  }
  throw new Error(`no value changes ${path}.${key}`)
}

function baseOf(table: string, key: string): string {
  if (table === 'metadata_store.postgres') return postgres
  if (key === 'sse_kms_key_id') return s3.replace('bucket', 'sse = "aws:kms"\nbucket')
  if (table === 'blob_store.s3') return s3
  return table === 'redis' && key === 'cluster' ? cluster : everyTable
}

// What a secret is cannot be seen.
function changes(base: string, overlay: string, { kind }: Entry): boolean {
  const before = formatConfig(parse(base))
  try {
    const after = formatConfig(parse(base, overlay))
    return kind === 'secret' || after !== before
  } catch {
    return false
  }
}
