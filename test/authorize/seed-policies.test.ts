// Goal: every policy that the documents promise works as written. Method: each TOML verbatim, loaded as
// a configuration, against a table of identity × action → allowed.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import { compilePolicies } from '../../src/authorize/policy/compile.ts'
import type { PolicyAction } from '../../src/authorize/policy/variables.ts'
import { parseConfig } from '../../src/config/load.ts'
import { act, actionKinds, authorizer, certified, clientIp, user } from './scene.ts'

const store = '[blob_store.memory]\n[metadata_store.memory]\n'

const security = `[global.access_policy]
default_allow = false
rules = ["identity.username != null"]
`

const attributes = `[global.access_policy]
default = "deny"
rules = [
# Allow clients with specific organization
"identity.certificate.organizations.contains('Infrastructure')",
# Allow specific common name
"'build-server' in identity.certificate.common_names",
# Combine with other auth methods
"identity.username == 'admin'"
]
`

const scenario1 = `[global.access_policy]
default = "deny"
rules = [
"size(identity.certificate.common_names) > 0"
]
`

const scenario2 = `[global.access_policy]
default = "deny"
rules = [
# Certificate grants full access
"identity.certificate.organizations.contains('DevOps')",
# Basic auth for read-only
"identity.username != '' && request.action.startsWith('get-')"
]
`

const scenario3 = `# Developers can push to dev repo
[repository."dev".access_policy]
default = "deny"
rules = [
"identity.certificate.organizations.contains('Developers')"
]
# Only platform team can push to production
[repository."prod".access_policy]
default = "deny"
rules = [
"identity.certificate.organizations.contains('Platform')"
]
`

const somebody = certified({ commonNames: ['somebody'], organizations: ['Elsewhere'] })
const infrastructure = certified({ organizations: ['Infrastructure'] })
const buildServer = certified({ commonNames: ['build-server'] })
const devOps = certified({ organizations: ['Other', 'DevOps'] })
const developer = certified({ commonNames: ['dev-1'], organizations: ['Developers'] })
const platform = certified({ commonNames: ['plat-1'], organizations: ['Platform'] })
const nameless = certified({ organizations: ['Developers'] })
const admin = user('admin')
const bob = user('bob')

const all: readonly PolicyAction[] = actionKinds
const reads = actionKinds.filter((kind) => kind.startsWith('get-'))
const none: readonly PolicyAction[] = []

interface Case {
  readonly name: string
  readonly toml: string
  readonly repository?: string
  readonly allowed: readonly (readonly [
    who: string,
    identity: Identity,
    kinds: readonly PolicyAction[],
  ])[]
}

const ofServer = ['get-api-version', 'list-catalog', 'metrics', 'healthz', 'readyz']
const inRepositories: readonly PolicyAction[] = all.filter((kind) => !ofServer.includes(kind))
const elsewhere = all.filter((kind) => !inRepositories.includes(kind))

const cases: readonly Case[] = [
  {
    name: 'the recommended policy of the security model',
    toml: security,
    allowed: [
      ['anonymous', anonymous, none],
      ['bob', bob, all],
      ['a certificate without a user name', somebody, none],
      ['a certificate with one', certified({}, bob), all],
    ],
  },
  {
    name: 'access control with certificates',
    toml: attributes,
    allowed: [
      ['anonymous', anonymous, none],
      ['bob', bob, none],
      ['admin', admin, all],
      ['Infrastructure', infrastructure, all],
      ['build-server', buildServer, all],
      ['another certificate', somebody, none],
    ],
  },
  {
    name: 'mTLS scenario 1: certificate required',
    toml: scenario1,
    allowed: [
      ['anonymous', anonymous, none],
      ['admin without a certificate', admin, none],
      ['any common name', somebody, all],
      ['a certificate without a common name', nameless, none],
    ],
  },
  {
    name: 'mTLS scenario 2: certificate optional',
    toml: scenario2,
    allowed: [
      ['anonymous', anonymous, none],
      ['DevOps', devOps, all],
      ['bob', bob, reads],
      ['another certificate', somebody, none],
      ['another certificate with a user name', certified({}, bob), reads],
    ],
  },
  {
    name: 'mTLS scenario 3 alone has no global policy',
    toml: scenario3,
    repository: 'dev/app',
    allowed: [
      ['anonymous', anonymous, none],
      ['a developer', developer, none],
      ['the platform team', platform, none],
    ],
  },
  {
    name: 'mTLS scenario 3 with the policy of scenario 1, in dev',
    toml: scenario1 + scenario3,
    repository: 'dev/app',
    allowed: [
      ['anonymous', anonymous, none],
      ['a developer', developer, all],
      ['a developer without a common name', nameless, none],
      ['the platform team', platform, elsewhere],
    ],
  },
  {
    name: 'mTLS scenario 3 with the policy of scenario 1, in prod itself',
    toml: scenario1 + scenario3,
    repository: 'prod',
    allowed: [
      ['a developer', developer, elsewhere],
      ['the platform team', platform, all],
    ],
  },
  {
    name: 'mTLS scenario 3 with the policy of scenario 1, beside the prefixes',
    toml: scenario1 + scenario3,
    repository: 'production/app',
    allowed: [
      ['anonymous', anonymous, none],
      ['a developer', developer, all],
      ['the platform team', platform, all],
    ],
  },
]

for (const { name, toml, repository = 'team/app', allowed } of cases) {
  describe(name, () => {
    const config = parseConfig([{ file: '/etc/keelson/config.toml', text: store + toml }])
    const { policies, problems } = compilePolicies(config.global.accessPolicy, config.repositories)
    assert.deepEqual(problems, [])
    assert.ok(policies)
    const authorize = authorizer(policies)

    for (const [who, identity, kinds] of allowed) {
      const extent = kinds === all ? 'everything' : kinds.join(', ') || 'nothing'
      test(`${who} may do ${extent}`, () => {
        const found = all.filter((kind) =>
          authorize.isAllowed(identity, act(kind, repository), clientIp),
        )
        assert.deepEqual(found, kinds)
      })
    }
  })
}
