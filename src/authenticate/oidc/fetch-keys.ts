// A provider's key set, fetched: discovery, files that others renew, and the clock of the other side.

import { readFile } from 'node:fs/promises'
import type { OidcConfig } from './contract.ts'
import { fetchJson, openSession, parseProviderUrl, type Session } from './fetch-json.ts'
import { type KeySet, parseKeySet } from './key-set.ts'

export interface FetchedKeys {
  readonly keySet: KeySet
  /** By how much at least, in ms, the provider's clock is ahead; undefined where it told no time. */
  readonly clockOffsetMs: number | undefined
}

/**
 * Files are read each time, since service account tokens and CAs are renewed in place.
 * Errors: an Error fit for the log. Source: OpenID Connect Discovery 1.0 §4.
 */
export async function fetchKeys(
  config: OidcConfig,
  abort: AbortController,
  now: () => number,
): Promise<FetchedKeys> {
  const session = await connect(config, abort)
  try {
    const url = config.jwksUri ?? (await discover(session, config.issuer))
    const startMs = now()
    const { value, serverNowMs } = await fetchJson(session, parseProviderUrl(url))
    const keySet = parseKeySet(value)
    return { keySet, clockOffsetMs: clockOffset(serverNowMs, startMs, now()) }
  } finally {
    await session.agent.destroy().catch(() => undefined)
  }
}

// A Date header is cut to the second, and was written at some time between our asking and the end.
function clockOffset(
  serverMs: number | undefined,
  startMs: number,
  endMs: number,
): number | undefined {
  if (serverMs === undefined) return undefined
  const leastMs = serverMs - endMs
  const mostMs = serverMs + 1000 - startMs
  return leastMs > 0 ? leastMs : Math.min(mostMs, 0)
}

async function connect(config: OidcConfig, abort: AbortController): Promise<Session> {
  const { origin } = parseProviderUrl(config.issuer)
  const [ca, cert, key, token] = await Promise.all(
    [
      config.serverCaBundle,
      config.clientCertificate,
      config.clientPrivateKey,
      config.bearerTokenFile,
    ].map((path) => (path === undefined ? undefined : readFile(path, 'utf8'))),
  )
  return openSession({
    timeoutMs: config.httpTimeoutMs,
    abort,
    bearer: token === undefined ? undefined : { token: token.trim(), origin },
    tls: { ca, cert, key, passphrase: config.clientPrivateKeyPassphrase?.reveal() },
  })
}

async function discover(session: Session, issuer: string): Promise<string> {
  // Source: OpenID Connect Discovery 1.0 §4.1: a slash at the end is taken off first.
  const url = parseProviderUrl(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  const { value } = await fetchJson(session, url)
  const document = (typeof value === 'object' && value !== null ? value : {}) as Discovery
  if (document.issuer !== issuer) {
    const found = JSON.stringify(document.issuer) ?? 'none'
    throw new Error(`${url.href} speaks for the issuer ${found.slice(0, 200)}`)
  }
  const { jwks_uri: keys } = document
  if (typeof keys !== 'string') throw new Error(`${url.href} names no jwks_uri`)
  // Whoever is far away must not send us to what listens on this host.
  if (url.protocol === 'https:' && parseProviderUrl(keys).protocol !== 'https:') {
    throw new Error(`${url.href} names a jwks_uri that is not https`)
  }
  return keys
}

interface Discovery {
  readonly issuer?: unknown
  readonly jwks_uri?: unknown
}
