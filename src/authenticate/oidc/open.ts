// The identity providers of a configuration, as one.

import { hash } from 'node:crypto'
import { claimsProblem, expiryOf, identityOf, tokenIdOf } from './claims.ts'
import { ClockWatch } from './clock-watch.ts'
import {
  type OidcConfig,
  type OidcParts,
  type OidcProviders,
  type SignatureAlgorithm,
  signatureAlgorithms,
  type TokenProblem,
  type VerifiedOidc,
} from './contract.ts'
import { Introspector } from './introspect.ts'
import { KeySource } from './key-source.ts'
import { refuse } from './refusal.ts'
import { parseToken, type UnverifiedToken } from './token.ts'

interface Provider {
  readonly config: OidcConfig
  readonly source: KeySource
  /** Undefined where the provider is not asked. */
  readonly introspector: Introspector | undefined
}

/** Providers that others, of another configuration, can follow. */
export interface OpenProviders extends OidcProviders {
  /** By what they ask, and whom. */
  readonly sources: ReadonlyMap<string, KeySource>
  /** Ends what is under way, but for the sources that `successor` has as well. */
  close(successor?: OpenProviders): Promise<void>
}

const notAsked = { introspections: 0, failedIntrospections: 0 } as const

// Often enough that a slewed clock stays below any tolerance in between.
const clockLookMs = 10_000
// A tolerance of nothing would take every rounding for a jump.
const clockStepMsMin = 1000

/**
 * Asks each issuer for its keys at once, and waits for none of them. What `previous` knows of an issuer
 * that is asked in the same way is taken over, so that a reload while it is away harms nobody.
 */
export function openOidcProviders(
  configs: readonly OidcConfig[],
  parts: OidcParts,
  previous?: OpenProviders,
): OpenProviders {
  const { pool, now, elapsed, log, random = Math.random } = parts
  const sources = new Map<string, KeySource>()
  const providers = new Map<string, Provider>()
  for (const config of configs) {
    const key = sourceKey(config)
    const source =
      sources.get(key) ??
      previous?.sources.get(key) ??
      new KeySource({ config, now, elapsed, random, log })
    sources.set(key, source)
    const { introspectionUrl: url } = config
    const introspector =
      url === undefined ? undefined : new Introspector({ config, url, elapsed, log })
    providers.set(config.name, { config, source, introspector })
  }
  const toleranceMs = Math.min(...configs.map((config) => config.clockSkewToleranceMs))
  const clock = new ClockWatch({
    now,
    elapsed,
    toleranceMs: Math.max(toleranceMs, clockStepMsMin),
    log,
  })
  const timer = configs.length === 0 ? undefined : setInterval(() => clock.observe(), clockLookMs)
  timer?.unref()
  for (const [key, source] of sources) {
    if (previous?.sources.get(key) !== source) source.start()
  }
  return { names: new Set(providers.keys()), sources, verify, status, close }

  async function verify(token: string, name?: string): Promise<VerifiedOidc> {
    clock.observe()
    const parsed = parseToken(token, name)
    const { config, source, introspector } = choose(parsed, candidates(parsed, name))
    const algorithm = allowed(parsed.algorithm, config)
    if (algorithm === undefined) throw refuse('algorithm', config.name)
    // Before the signature, which costs more; it is believed only after it.
    const identity = identityOf(parsed.claims, config)
    const { jwk, thumbprint } = await source.find(parsed.keyId, algorithm, config.name)
    const isGood = await pool.verifySignature({ token, algorithm, jwk, thumbprint })
    if (!isGood) throw refuse('signature', config.name)
    // Last: what anybody can make up must not become questions to the provider.
    const goodForMs = await introspector?.check(token)
    const { claims } = parsed
    return { identity, expiresAtMs: expiryOf(claims), goodForMs, tokenId: tokenIdOf(claims) }
  }

  function candidates({ claims }: UnverifiedToken, name: string | undefined): readonly Provider[] {
    if (name === undefined) {
      return [...providers.values()].filter(({ config }) => config.issuer === claims['iss'])
    }
    const provider = providers.get(name)
    return provider === undefined ? [] : [provider]
  }

  // Two providers may share an issuer and differ in what they want of a token: the first that it fits.
  function choose({ claims, algorithm }: UnverifiedToken, among: readonly Provider[]): Provider {
    const [first] = among
    if (first === undefined) {
      throw refuse(claims['iss'] === undefined ? 'missing-claim' : 'unknown-issuer', undefined)
    }
    let problem: TokenProblem | undefined
    for (const provider of among) {
      const found = claimsProblem(claims, provider.config, now())
      if (found === undefined && allowed(algorithm, provider.config) !== undefined) return provider
      problem ??= found ?? 'algorithm'
    }
    throw refuse(problem ?? 'malformed', first.config.name)
  }

  function status(): ReturnType<OidcProviders['status']> {
    return {
      providers: [...providers].map(([name, { source, introspector }]) => {
        return { name, ...source.status(), ...(introspector?.counts ?? notAsked) }
      }),
      clockJumps: clock.jumps,
    }
  }

  async function close(successor?: OpenProviders): Promise<void> {
    clearInterval(timer)
    const kept = new Set(successor?.sources.values())
    const ended = [...sources.values()].filter((source) => !kept.has(source))
    await Promise.all([
      ...ended.map((source) => source.close()),
      ...[...providers.values()].map(({ introspector }) => introspector?.close()),
    ])
  }
}

// Whatever a configuration says: no algorithm but those of the table.
function allowed(algorithm: string, config: OidcConfig): SignatureAlgorithm | undefined {
  const known = signatureAlgorithms.find((name) => name === algorithm)
  return known !== undefined && config.allowedAlgorithms.includes(known) ? known : undefined
}

// Those that ask the same of the same issuer ask once.
function sourceKey(config: OidcConfig): string {
  const { issuer, jwksUri, jwksRefreshIntervalMs, jwksMaxStaleMs, httpTimeoutMs } = config
  const { serverCaBundle, clientCertificate, clientPrivateKey, bearerTokenFile } = config
  const times = [jwksRefreshIntervalMs, jwksMaxStaleMs, httpTimeoutMs]
  const files = [serverCaBundle, clientCertificate, clientPrivateKey, bearerTokenFile]
  const passphrase = config.clientPrivateKeyPassphrase?.reveal()
  // It must differ where the passphrase does, and need not hold it.
  const lock = passphrase === undefined ? '' : hash('sha256', passphrase, 'hex')
  return JSON.stringify([issuer, jwksUri, times, files, lock])
}
