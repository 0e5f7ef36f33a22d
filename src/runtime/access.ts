// Who may come in and what they may do, by one configuration: authentication and policies.

import { randomUUID } from 'node:crypto'
import type { Authenticator } from '../authenticate/authenticate.ts'
import type { BasicUser } from '../authenticate/basic.ts'
import { createAuthenticator } from '../authenticate/create.ts'
import type { LdapDirectory } from '../authenticate/ldap/contract.ts'
import { openLdapDirectories } from '../authenticate/ldap/open.ts'
import { type OpenProviders, openOidcProviders } from '../authenticate/oidc/open.ts'
import { createChallenges } from '../authenticate/token/challenge.ts'
import type { Challenges, UserDirectory } from '../authenticate/token/contract.ts'
import { createUserDirectory } from '../authenticate/token/directory.ts'
import { createRegistryTokens } from '../authenticate/token/registry-tokens.ts'
import { loadUsers } from '../authenticate/users.ts'
import { type Authorize, createAuthorize } from '../authorize/authorize.ts'
import { type CompiledPolicies, compilePolicies } from '../authorize/policy/compile.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import { logIgnoredHeader } from '../server/security-log.ts'
import type { Closers } from './closers.ts'
import type { Foundation } from './foundation.ts'
import { type ConfiguredGuards, openGuards } from './guards.ts'

const now: () => number = Date.now
const elapsed = (): number => performance.now()

export interface Access {
  readonly authenticator: Authenticator
  readonly authorize: Authorize
  readonly challenges: Challenges
  readonly directory: UserDirectory
  readonly oidc: OpenProviders
  readonly ldap: readonly LdapDirectory[]
  readonly guards: ConfiguredGuards
}

interface Around {
  /** For all but the identity providers, which whoever follows may take over. */
  readonly closers: Closers
  readonly previous: { readonly access: Access } | undefined
}

/** Before anything is opened, so that a wrong rule costs nothing. Errors: ConfigError. */
export function configuredPolicies(config: Config): CompiledPolicies {
  const { policies, problems } = compilePolicies(config.global.accessPolicy, config.repositories)
  if (policies === undefined) throw new ConfigError(problems)
  return policies
}

/** Errors: ConfigError; Error with a message for the operator. */
export async function openAccess(
  config: Config,
  policies: CompiledPolicies,
  foundation: Foundation,
  { closers, previous }: Around,
): Promise<Access> {
  const { log, audit, counts, credentials, logins, tokens } = foundation
  const users = basicUsers(config)
  const guards = await openGuards(config, { counts, log, closers })
  const authorize = createPolicy(config, policies, foundation, guards)
  const ldap = openLdapDirectories(config.auth.ldap, { elapsed, log })
  closers.add(() => {
    for (const each of ldap) each.close()
  })
  const { tokenService } = config.auth
  const parts = { pool: credentials, now, elapsed, log }
  const oidc = openOidcProviders(config.auth.oidc, parts, previous?.access.oidc)
  const vouchers = new Set([...oidc.names, ...config.auth.ldap.map(({ name }) => `ldap:${name}`)])
  const directory = createUserDirectory(users, vouchers)
  const authenticator = createAuthenticator({
    ...{ users, verifyPassword: credentials.verifyPassword, oidc, now, elapsed },
    ...{ counts: counts.logins, memory: logins },
    onLogin: (login) => audit.login(login),
    sources: ldap,
    gateway: config.auth.gateway,
    onGatewayHeaderIgnored: (header) => logIgnoredHeader(header, log),
    tokens: createRegistryTokens({
      ...{ service: tokenService?.service, state: tokens.keeper, directory, now },
      verifySignature: credentials.verifySignature,
    }),
  })
  const challenges = createChallenges(tokenService)
  return { authenticator, authorize, challenges, directory, oidc, ldap, guards }
}

function createPolicy(
  config: Config,
  policies: CompiledPolicies,
  { log, audit, counts }: Foundation,
  { guards }: ConfiguredGuards,
): Authorize {
  return createAuthorize(policies, {
    onRuleError: (rule, error, isFirst) => {
      counts.policy.ruleErrors += 1
      const { file, line } = rule.place
      if (isFirst) log.warn({ rule: rule.text, file, line, reason: error }, 'a policy rule failed')
    },
    onDecision: (record) => audit.decision(record),
    ...(audit.records === undefined ? {} : { records: audit.records }),
    ...(guards === undefined ? {} : { guards }),
    remembered: counts.decisions,
    randomUuid: randomUUID,
    canLogIn:
      config.auth.identities.length + config.auth.oidc.length + config.auth.ldap.length > 0 ||
      config.auth.htpasswd !== undefined ||
      config.auth.tokenService !== undefined,
  })
}

function basicUsers(config: Config): readonly BasicUser[] {
  const { users, problems } = loadUsers(config.auth)
  if (problems.length > 0) throw new ConfigError(problems)
  return users
}
