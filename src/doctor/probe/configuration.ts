// Draws from a configuration what its checks ask for.
import { compilePolicies } from '../../authorize/policy/compile.ts'
import { type LintFinding, lintPolicies } from '../../authorize/policy/lint.ts'
import { lintRetention } from '../../authorize/policy/lint-retention.ts'
import { compileRetention } from '../../authorize/policy/retention.ts'
import type { Config, ListenerConfig } from '../../config/schema.ts'
import { isLoopbackHost } from '../../http/loopback.ts'
import type { ConfigurationFacts, PolicyNote, SampledBlobs } from '../check/configuration.ts'

export interface Around {
  /** What the server would refuse, each with its place. */
  readonly problems: readonly string[]
  /** Whether uws serves this listener. */
  readonly isOnUws: (listener: ListenerConfig) => boolean
  readonly sampled?: SampledBlobs | undefined
}

export function readConfiguration(config: Config, around: Around): ConfigurationFacts {
  const { auth, listeners, server, storage, forwardAuth, audit } = config
  const trusted = [
    ...server.trustedProxies,
    ...(auth.gateway?.proxies ?? []),
    ...(forwardAuth?.proxies ?? []),
  ]
  return {
    problems: around.problems,
    policy: policyNotes(config),
    retention: retentionNotes(config),
    plainAddresses: listeners.flatMap((each) =>
      each.kind === 'tcp' && !each.tls && !isLoopbackHost(each.address) ? [each.address] : [],
    ),
    hasLogins: hasLogins(config),
    isBehindProxy: server.trustedProxies.length > 0,
    trustsAll: trusted.filter((each) => /\/0+$/.test(each)),
    isDurable: storage.durability === 'fsync',
    hasMemoryStore: config.blobStore.kind === 'memory' || config.metadataStore.kind === 'memory',
    unused: unusedOf(config, around),
    anyAudience: auth.oidc.flatMap(({ name, requiredAudience }) =>
      requiredAudience.length === 0 ? [name] : [],
    ),
    hasAuditFile: audit.file !== undefined,
    hasTls: listeners.some((each) => each.tls),
    externalUrl: server.externalUrl,
    hasTokenService: auth.tokenService !== undefined,
    ...(around.sampled && { sampled: around.sampled }),
  }
}

function hasLogins({ auth }: Config): boolean {
  const { identities, oidc, ldap, htpasswd, tokenService, gateway } = auth
  const named = identities.length + oidc.length + ldap.length
  return named > 0 || [htpasswd, tokenService, gateway].some((each) => each !== undefined)
}

// Rules that do not compile are among the problems.
function policyNotes({ global, repositories }: Config): readonly PolicyNote[] {
  const { policies } = compilePolicies(global.accessPolicy, repositories)
  if (policies === undefined) return []
  return lintPolicies(policies).map(noteOf)
}

function retentionNotes(config: Config): readonly PolicyNote[] {
  const { rules } = compileRetention(config.global.retentionPolicy, config.repositories)
  return rules === undefined ? [] : lintRetention(rules, config).map(noteOf)
}

function noteOf({ severity, policy, place, message }: LintFinding): PolicyNote {
  const about = policy === 'global' ? '' : `the policy of ${policy}: `
  const at = place === undefined ? '' : `${place.file}:${place.line}`
  return { severity, place: at, message: `${about}${message}` }
}

function unusedOf(config: Config, { isOnUws }: Around): readonly string[] {
  const { auth, listeners, tls, global, repositories } = config
  const choices = [global, ...repositories]
  const webhooks = new Set(choices.map((each) => each.authorizationWebhook))
  const opas = new Set(choices.map((each) => each.authorizationOpa))
  const nobody = 'is named by no authorization'
  return [
    ...(tls !== undefined && !listeners.some((each) => each.tls)
      ? ['no listener uses [server.tls]: nothing is encrypted']
      : []),
    ...auth.webhooks.flatMap(({ name }) =>
      webhooks.has(name) ? [] : [`[auth.webhook.${name}] ${nobody}_webhook`],
    ),
    ...auth.opas.flatMap(({ name }) =>
      opas.has(name) ? [] : [`[auth.opa.${name}] ${nobody}_opa`],
    ),
    ...nodeOnly(
      config,
      listeners.some((each) => each.tls && isOnUws(each)),
    ),
  ]
}

function nodeOnly({ tls }: Config, isOnUws: boolean): readonly string[] {
  if (tls === undefined || !isOnUws) return []
  const { ocspResponse: ocsp_response, sessionTicketSecret: session_ticket_secret } = tls
  return Object.entries({ ocsp_response, session_ticket_secret }).flatMap(([key, path]) =>
    path === undefined ? [] : [`server.tls.${key} needs server.transport = "node"`],
  )
}
