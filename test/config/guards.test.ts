// Goal: tables that could open what they are meant to close are refused, with their line.
// Method: each mistake alone, and one whole configuration that is right.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { servedActions } from '../../src/authorize/policy/variables.ts'
import { actionNames } from '../../src/config/action-names.ts'
import { formatConfig } from '../../src/config/summary.ts'
import { parse, problemsOf } from './parse.ts'

const store = '[blob_store.fs]\nroot_dir = "/srv/registry"\n'

const whole = `${store}
[auth.gateway]
proxies = ["10.0.0.7"]
common_names = ["gateway"]
[auth.ldap.office]
url = "ldaps://ldap.example.com"
user_base = "ou=people,dc=example,dc=com"
[auth.webhook.scanner]
url = "https://guard.example.com/"
username = "keelson"
password = "long enough"
forward_headers = ["X-Request-Id"]
[auth.opa.central]
url = "http://127.0.0.1:8181"
path = "keelson/allow"
[server.forward_auth]
proxies = ["127.0.0.1"]
[global]
authorization_webhook = "scanner"
[global.quota]
bytes = "5GiB"
[global.validation]
tag_pattern = "v[0-9]+"
[repository."team/app"]
authorization_opa = "central"
immutable_tags = true
max_blob_size = "2GiB"
[repository."team/app".quota]
tags = 12
[repository."team/app".validation]
media_types = ["application/vnd.oci.image.manifest.v1+json"]
[limits]
uploads_per_identity = 4
[limits.rate.logins]
per = "address"
actions = ["get-token"]
requests = 5
period = "1m"
[redis]
url = "rediss://redis.example.com"
password = "long enough"
[audit]
file = "/var/log/keelson/audit.jsonl"
`

describe('guards, limits and rules', () => {
  test('a whole configuration is read', () => {
    const { auth, global, repositories, usage, audit, forwardAuth } = parse(whole)
    assert.deepEqual(auth.gateway?.proxies, ['10.0.0.7'])
    assert.deepEqual(auth.gateway?.commonNames, ['gateway'])
    assert.deepEqual(
      auth.ldap.map(({ name, userFilter, userDn }) => [name, userFilter, userDn]),
      [['office', '(uid={username})', undefined]],
    )
    assert.deepEqual(
      auth.webhooks.map(({ name, cacheTtlMs, bearerToken }) => [name, cacheTtlMs, bearerToken]),
      [['scanner', 60_000, undefined]],
    )
    assert.deepEqual(
      auth.opas.map(({ name, path, timeoutMs }) => [name, path, timeoutMs]),
      [['central', 'keelson/allow', 2000]],
    )
    assert.equal(global.authorizationWebhook, 'scanner')
    assert.deepEqual(global.quota, { maxBytes: 5 * 1024 ** 3, maxTags: undefined })
    assert.equal(global.validation?.tagPattern, 'v[0-9]+')
    const [repository] = repositories
    assert.deepEqual(
      [repository?.prefix, repository?.authorizationOpa, repository?.immutableTags],
      ['team/app', 'central', true],
    )
    assert.deepEqual(repository?.quota, { maxBytes: undefined, maxTags: 12 })
    assert.equal(repository?.maxBlobSizeBytes, 2 * 1024 ** 3)
    assert.equal(usage.uploadsPerIdentity, 4)
    assert.deepEqual(
      usage.rates.map(({ name, per, requests, periodMs, burst }) => [
        ...[name, per, requests, periodMs, burst],
      ]),
      [['logins', 'address', 5, 60_000, undefined]],
    )
    assert.equal(audit.file, '/var/log/keelson/audit.jsonl')
    assert.equal(forwardAuth?.path, '/forward-auth')
  })

  test('the actions that can be named are those that are served, and get-token', () => {
    assert.deepEqual([...actionNames].toSorted(), [...servedActions, 'get-token'].toSorted())
  })

  test('what it amounts to loads to the same, but for the secrets', () => {
    const printed = formatConfig(parse(whole))
    assert.doesNotMatch(printed, /long enough/)
    assert.equal(formatConfig(parse(printed)), printed)
  })

  for (const [what, toml, expected] of [
    [
      'a gateway that only its address shows',
      '[auth.gateway]\nproxies = ["10.0.0.7"]',
      /auth\.gateway: expected shared_secret or common_names/,
    ],
    [
      'a gateway without an address',
      '[auth.gateway]\nproxies = []\nshared_secret = "0123456789abcdef"',
      /auth\.gateway\.proxies: expected at least one/,
    ],
    [
      'a gateway that names users in Authorization',
      '[auth.gateway]\nproxies = ["::1"]\nshared_secret = "0123456789abcdef"\nheader = "Authorization"',
      /auth\.gateway\.header: expected a header of its own/,
    ],
    [
      'a webhook in clear',
      '[auth.webhook.a]\nurl = "http://guard.example.com/"',
      /auth\.webhook\.a\.url: expected an https/,
    ],
    [
      'a password in a URL',
      `[auth.webhook.a]\nurl = "https://user:${'hunter2'}@guard.example.com/"`,
      /auth\.webhook\.a\.url: expected an `?https.*found "https:\/\/\*\*\*@guard\.example\.com\/"$/,
    ],
    [
      'a user without a password',
      '[auth.webhook.a]\nurl = "https://x/"\nusername = "u"',
      /auth\.webhook\.a: expected both username and password/,
    ],
    [
      'a header that is none',
      '[auth.webhook.a]\nurl = "https://x/"\nforward_headers = ["a b"]',
      /auth\.webhook\.a\.forward_headers: expected names of headers/,
    ],
    [
      'a certificate without its key',
      '[auth.opa.a]\nurl = "https://x"\npath = "p"\nclient_certificate = "/c"',
      /auth\.opa\.a: expected both client_certificate/,
    ],
    [
      'a document that is no path',
      '[auth.opa.a]\nurl = "https://x"\npath = "../v1/policies"',
      /auth\.opa\.a\.path: expected the path of a document/,
    ],
    [
      'a webhook that is not there',
      '[global]\nauthorization_webhook = "scaner"',
      /global\.authorization_webhook: expected the name of one of the tables/,
    ],
    [
      'an agent that is not there, of a repository',
      '[repository.prod]\nauthorization_opa = "x"',
      /repository\.prod\.authorization_opa: expected the name of one of the tables/,
    ],
    [
      'a path of the registry',
      '[server.forward_auth]\nproxies = ["::1"]\npath = "/v2/x"',
      /server\.forward_auth\.path: expected a path beside/,
    ],
    ['news in clear', '[redis]\nurl = "redis://redis.example.com"', /redis\.url: expected rediss:/],
    [
      'a database in clear',
      '[metadata_store.postgres]\nhost = "db.example.com"\nsslmode = "disable"',
      /postgres\.sslmode: expected "verify-full", since db\.example\.com is reached over a network/,
    ],
    [
      'a socket with TLS',
      '[metadata_store.postgres]\nhost = "/run/postgresql"\nsslmode = "verify-full"',
      /postgres\.sslmode: expected "disable"/,
    ],
    [
      'a database by its URL',
      '[metadata_store.postgres]\nhost = "postgres://user:pass@db"',
      /postgres\.host: expected a name, an address or the folder of a socket/,
    ],
    [
      'a database for one process alone',
      '[storage]\nsharing = "exclusive"\n[metadata_store.postgres]\nhost = "db"',
      /storage\.sharing: expected "shared"/,
    ],
    [
      'two metadata stores',
      '[metadata_store.lmdb]\npath = "/a"\n[metadata_store.postgres]\nhost = "db"',
      /metadata_store\.postgres: expected one store/,
    ],
    [
      'a sentinel and a cluster',
      '[redis]\nurl = "redis://[::1]:1"\ncluster = true\nsentinel_name = "a"',
      /redis\.cluster: expected it or sentinel_name/,
    ],
    [
      'a limit with a name that no metric can carry',
      '[limits.rate."a b"]\nrequests = 1',
      /limits\.rate\."a b": expected a name of letters/,
    ],
  ] as const) {
    test(`${what}: refused`, () => {
      const problems = problemsOf(`${store}${toml}`)
      assert.equal(problems.length, 1, problems.join('\n'))
      assert.match(problems[0] ?? '', expected)
    })
  }
})
