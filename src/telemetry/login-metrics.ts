// Metrics of policies, logins and what vouches for them: identity providers, tokens, revocations.

import type { Registry } from 'prom-client'
import type { AuthCounts } from './auth-counts.ts'
import { counter, gauge, single } from './readings.ts'

/** What policies count. */
export interface PolicyCounts {
  /** Rules that could not be evaluated for a request. */
  ruleErrors: number
}

/** The key sets of the identity providers. */
export interface OidcFigures {
  readonly providers: ReadonlyArray<{
    readonly name: string
    readonly keySetAgeMs: number | undefined
    readonly isLastRefreshOk: boolean | undefined
  }>
}

/** What authentication knows of issued and revoked credentials. */
export interface TokenFigures {
  readonly apiKeys: number
  readonly revocations: number
  readonly ageMs: number
}

export interface LoginSources {
  readonly policy: PolicyCounts
  readonly logins: AuthCounts
  readonly oidc: () => OidcFigures
  readonly tokens: () => TokenFigures
}

export function registerLoginMetrics(registry: Registry, sources: LoginSources): void {
  counter(registry, {
    name: 'keelson_policy_rule_errors_total',
    help: 'Policy rules that failed',
    read: single(() => sources.policy.ruleErrors),
  })
  counter(registry, {
    name: 'auth_attempts_total',
    help: 'Credentials shown, by method and how it ended; remembered ones count too',
    labelNames: ['method', 'result'],
    read: () => [...sources.logins.entries()].map(([method, result, n]) => [{ method, result }, n]),
  })
  oidcMetrics(registry, sources.oidc)
  tokenMetrics(registry, sources.tokens)
}

function oidcMetrics(registry: Registry, figures: () => OidcFigures): void {
  gauge(registry, {
    name: 'keelson_oidc_key_set_age_seconds',
    help: 'Since the keys of a provider were fetched; absent while there are none',
    labelNames: ['provider'],
    aggregator: 'max',
    read: () =>
      figures().providers.flatMap(({ name, keySetAgeMs }) =>
        keySetAgeMs === undefined ? [] : [[{ provider: name }, keySetAgeMs / 1000] as const],
      ),
  })
  gauge(registry, {
    name: 'keelson_oidc_last_refresh_success',
    help: '1 where the last request for the keys of a provider went well',
    labelNames: ['provider'],
    aggregator: 'min',
    read: () =>
      figures().providers.map(({ name, isLastRefreshOk }) => [
        { provider: name },
        isLastRefreshOk === true ? 1 : 0,
      ]),
  })
}

// Every process reads the same store; the one that read it longest ago may let in somebody it should not.
function tokenMetrics(registry: Registry, figures: () => TokenFigures): void {
  gauge(registry, {
    name: 'keelson_api_keys',
    help: 'API keys that are not revoked',
    aggregator: 'max',
    read: single(() => figures().apiKeys),
  })
  gauge(registry, {
    name: 'keelson_revocations',
    help: 'Revoked tokens and users',
    aggregator: 'max',
    read: single(() => figures().revocations),
  })
  gauge(registry, {
    name: 'keelson_token_state_age_seconds',
    help: 'Since the store was last asked for API keys and revocations',
    aggregator: 'max',
    read: single(() => figures().ageMs / 1000),
  })
}
