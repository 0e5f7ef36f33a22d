// A provider, or several, under test: configurations with everything said, and clocks to turn.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import {
  type OidcConfig,
  type OidcProviders,
  TokenRefusal,
  type VerifySignature,
} from '../../../src/authenticate/oidc/contract.ts'
import { openOidcProviders } from '../../../src/authenticate/oidc/open.ts'
import { OciError } from '../../../src/oci/error.ts'
import { verifyToken } from '../../../workers/verify-token.ts'
import type { IdentityProvider } from '../../support/identity-provider.ts'

export const minuteMs = 60_000

/** Everything that an `[auth.oidc.<name>]` has by default, for an issuer. */
export function oidcConfig(issuer: string, options: Partial<OidcConfig> = {}): OidcConfig {
  return {
    name: 'idp',
    issuer,
    jwksUri: undefined,
    requiredAudience: undefined,
    requiredClaims: [],
    allowedAlgorithms: ['RS256'],
    clockSkewToleranceMs: minuteMs,
    jwksRefreshIntervalMs: 60 * minuteMs,
    jwksMaxStaleMs: 24 * 60 * minuteMs,
    httpTimeoutMs: 10_000,
    serverCaBundle: undefined,
    clientCertificate: undefined,
    clientPrivateKey: undefined,
    clientPrivateKeyPassphrase: undefined,
    bearerTokenFile: undefined,
    usernameClaim: undefined,
    groupsClaim: undefined,
    introspectionUrl: undefined,
    introspectionClientId: undefined,
    introspectionClientSecret: undefined,
    introspectionTtlMs: minuteMs,
    ...options,
  }
}

export interface OidcScene {
  readonly providers: OidcProviders
  /** What was logged as a warning: messages, each with its fields. */
  readonly warnings: { readonly message: string; readonly fields: object }[]
  /** Both clocks go on. */
  advance(ms: number): void
  /** The wall clock alone. */
  jump(ms: number): void
}

export interface OidcSceneOptions {
  /** Default in this thread, by the worker's own function. */
  readonly verifySignature?: VerifySignature
}

/**
 * Closed after the test file. The wall clock goes by the time of day, since providers sign with it; the
 * monotonic one stands until it is moved.
 */
export function oidcScene(
  configs: readonly OidcConfig[],
  { verifySignature = async (task) => verifyToken(task) }: OidcSceneOptions = {},
): OidcScene {
  let wallAheadMs = 0
  let aheadMs = 0
  const warnings: OidcScene['warnings'] = []
  const providers = openOidcProviders(configs, {
    pool: { verifySignature },
    now: () => Date.now() + wallAheadMs,
    elapsed: () => aheadMs,
    log: { info: () => undefined, warn: (fields, message) => warnings.push({ message, fields }) },
    random: () => 0,
  })
  open.add(providers)
  return {
    providers,
    warnings,
    advance: (ms) => {
      wallAheadMs += ms
      aheadMs += ms
    },
    jump: (ms) => {
      wallAheadMs += ms
    },
  }
}

const open = new Set<OidcProviders>()
after(() => Promise.all([...open].map((providers) => providers.close())))

/** A scene with one provider, which is trusted by its CA. */
export function sceneOf(idp: IdentityProvider, options: Partial<OidcConfig> = {}): OidcScene {
  return oidcScene([oidcConfig(idp.issuer, { serverCaBundle: idp.caFile, ...options })])
}

/** Why the token is refused: a `TokenProblem`, or `503`. Fails where it is not. */
export async function refusalOf(verifying: Promise<unknown>): Promise<string> {
  try {
    await verifying
  } catch (error) {
    assert.ok(error instanceof OciError, String(error))
    if (error.status === 503) {
      assert.match(headerOf(error, 'Retry-After'), /^[1-9]\d*$/)
      return '503'
    }
    assert.equal(error.status, 401)
    assert.match(headerOf(error, 'WWW-Authenticate'), /^Basic realm="keelson"$/)
    assert.ok(error.cause instanceof TokenRefusal)
    return error.cause.problem
  }
  return assert.fail('the token was taken')
}

function headerOf(error: OciError, name: string): string {
  return error.headers.find(([header]) => header === name)?.[1] ?? ''
}

/** A folder of the test file's own, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-oidc-'))
  folders.add(folder)
  return folder
}

// Here and not where they are made: a hook that is set within a hook runs at its end.
const folders = new Set<string>()
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
