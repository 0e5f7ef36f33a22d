// An authenticator under test: requests with any headers from any peer, registry tokens by their names,
// clocks to turn, and what was told.
import type { Authenticator, SecretGuard } from '../../src/authenticate/authenticate.ts'
import type { BasicUser } from '../../src/authenticate/basic.ts'
import { createAuthenticator } from '../../src/authenticate/create.ts'
import type { GatewayConfig, IgnoredHeader } from '../../src/authenticate/gateway.ts'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { LoginEvent } from '../../src/authenticate/login-event.ts'
import type { OidcProviders } from '../../src/authenticate/oidc/contract.ts'
import {
  RegistryTokenRefusal,
  type RegistryTokens,
  type VerifiedToken,
} from '../../src/authenticate/token/contract.ts'
import type { ClientCertificate } from '../../src/http/client-certificate.ts'
import { OciError } from '../../src/oci/error.ts'
import { AuthCounts } from '../../src/telemetry/auth-counts.ts'

export const ci: BasicUser = {
  id: 'build',
  username: 'ci',
  passwordHash: 'hash of secret',
  groups: ['builders'],
  expiresAtMs: undefined,
}

export interface AskOptions {
  /** `name:password`. */
  readonly login?: string
  readonly bearer?: string
  readonly certificate?: ClientCertificate
  readonly isLogin?: boolean
  /** Of the connection; default 192.0.2.1. */
  readonly peer?: string
  /** Of the client, through proxies; default the peer's. */
  readonly address?: string
  /** A list is several lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
}

export interface LoginScene {
  readonly authenticator: Authenticator
  readonly counts: AuthCounts
  readonly events: LoginEvent[]
  readonly ignored: IgnoredHeader[]
  /** Tokens that were verified. */
  readonly verified: string[]
  advance(ms: number): void
  ask(options?: AskOptions): Promise<Identity>
  guard(address: string): SecretGuard
}

export interface LoginSceneOptions {
  readonly users?: readonly BasicUser[]
  readonly gateway?: GatewayConfig
  /** What sets the token of that text apart from the others, which are all of the user `ci`. */
  readonly tokens?: Readonly<Record<string, Partial<VerifiedToken>>>
  readonly oidc?: OidcProviders
  /** What it throws is the answer, as that of an audit log without room. */
  readonly onLogin?: () => void
}

/** A Bearer credential that begins with `good` is a registry token; any other is a wrong one. */
export function loginScene(options: LoginSceneOptions = {}): LoginScene {
  let nowMs = 1_000_000
  const { users = [ci], gateway, oidc } = options
  const events: LoginEvent[] = []
  const ignored: IgnoredHeader[] = []
  const verified: string[] = []
  const counts = new AuthCounts()
  const tokens = fakeTokens(options.tokens ?? {}, verified)
  const authenticator = createAuthenticator({
    ...{ users, oidc, tokens, gateway, counts },
    verifyPassword: (hash, password) => Promise.resolve(hash === `hash of ${password}`),
    onLogin: (event) => {
      options.onLogin?.()
      events.push(event)
    },
    onGatewayHeaderIgnored: (header) => ignored.push(header),
    now: () => nowMs,
    elapsed: () => nowMs,
  })
  return {
    ...{ authenticator, counts, events, ignored, verified },
    advance: (ms) => {
      nowMs += ms
    },
    // As the pipeline calls it, a throw becomes a rejection.
    ask: async (asked = {}) => {
      const { certificate, isLogin = false, peer = '192.0.2.1', address = peer } = asked
      const lines = linesOf(asked)
      const headerLines = (name: string): readonly string[] => lines.get(name) ?? []
      const header = (name: string): string => headerLines(name).join(', ')
      const request = { certificate, remoteAddress: peer, header, headerLines }
      return authenticator.authenticate(request, isLogin, () => address)
    },
    guard: (address) => authenticator.guard(() => address),
  }
}

function linesOf({ login, bearer, headers = {} }: AskOptions): Map<string, readonly string[]> {
  const lines = new Map<string, readonly string[]>()
  const authorization =
    login === undefined
      ? bearer && `Bearer ${bearer}`
      : `Basic ${Buffer.from(login).toString('base64')}`
  if (authorization !== undefined) lines.set('authorization', [authorization])
  for (const [name, value] of Object.entries(headers)) {
    lines.set(name.toLowerCase(), typeof value === 'string' ? [value] : value)
  }
  return lines
}

function fakeTokens(
  known: Readonly<Record<string, Partial<VerifiedToken>>>,
  verified: string[],
): RegistryTokens {
  const refusal = (cause: RegistryTokenRefusal): OciError => new OciError('UNAUTHORIZED', { cause })
  return {
    isUsed: true,
    recognises: (text) => text.startsWith('good') || text.startsWith('bad'),
    verify: (credential) => {
      verified.push(credential)
      if (!credential.startsWith('good')) {
        return Promise.reject(refusal(new RegistryTokenRefusal('signature', 'some-id')))
      }
      const tokenId = `id of ${credential}`
      return Promise.resolve({
        method: 'token',
        identity: Object.freeze({ ...anonymous, username: 'ci', authMethod: 'token', tokenId }),
        expiresAtMs: Number.POSITIVE_INFINITY,
        tokenId,
        apiKeyId: undefined,
        certificateSha256: undefined,
        revision: 0,
        origin: undefined,
        issuedAtMs: 0,
        ...known[credential],
      })
    },
    problem: ({ certificateSha256: bound }, certificate) =>
      bound === undefined || certificate?.fingerprintSha256 === bound
        ? undefined
        : 'wrong-certificate',
    refusal: (problem, tokenId) => refusal(new RegistryTokenRefusal(problem, tokenId)),
  }
}

export function certificateOf(commonName: string): ClientCertificate {
  return {
    commonNames: [commonName],
    organizations: ['Infrastructure'],
    sans: { dns: [], uri: [], email: [] },
    serial: '01',
    fingerprintSha256: Buffer.from(commonName).toString('hex').padEnd(64, '0').slice(0, 64),
    notAfterMs: 9e12,
  }
}

/** For `assert.rejects`. */
export function refusal(status: number): (error: unknown) => boolean {
  return (error) => error instanceof OciError && error.status === status
}
