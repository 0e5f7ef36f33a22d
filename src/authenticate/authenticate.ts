// Request → Identity: a client certificate, a token or a password, both, or nobody.

import type { ClientCertificate } from '../http/client-certificate.ts'
import { OciError } from '../oci/error.ts'
import type { AuthCounts, AuthResult } from '../telemetry/auth-counts.ts'
import { parseAuthorization } from './authorization.ts'
import type { BasicUsers } from './basic.ts'
import { challenge } from './challenge.ts'
import { combine } from './combine.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { FailedLogins } from './failed-logins.ts'
import { anonymous, type Identity } from './identity.ts'
import { type OidcProviders, TokenRefusal } from './oidc/contract.ts'
import { RegistryTokenRefusal, type RegistryTokens, type VerifiedToken } from './token/contract.ts'

/** The parts of a request that say who sent it. */
export interface Credentials {
  readonly certificate: ClientCertificate | undefined
  header(name: string): string
}

type Method = 'basic' | 'oidc' | 'token' | 'api-key' | 'unknown'

/** What is known of a credential that was looked at. */
export interface Remembered {
  readonly method: Method
  /** Undefined where it was wrong. */
  readonly identity: Identity | undefined
  /** Wall clock, in ms since the epoch; the identity is nobody's from then on. */
  readonly expiresAtMs: number | undefined
  /** A wrong one that is refused at once, wherever it is shown. */
  readonly refusal: OciError | undefined
  /** Of the registry's own making: asked on each request whether it still counts. */
  readonly token?: VerifiedToken
}

/** For the audit log. Never carries a password or a token. */
export interface LoginEvent {
  readonly method: Method
  readonly result: AuthResult
  readonly reason: string
  readonly id: string | null
  readonly username: string | null
  readonly address: string
}

export interface AuthenticatorOptions {
  readonly basic: BasicUsers
  readonly oidc: OidcProviders
  readonly tokens: RegistryTokens
  readonly cache: CredentialCache<Remembered>
  readonly failures: FailedLogins
  readonly counts: AuthCounts
  readonly onLogin: (event: LoginEvent) => void
  /** Wall clock, in ms. */
  readonly now: () => number
}

interface Password {
  readonly username: string
  readonly password: string
}

// How long a checked credential need not be checked again. A wrong one soon may: the client that
// repeats it must not cost a hash each time, and nothing is let in by it.
const goodForMs = 5 * 60_000
const badForMs = 10_000
// Neither name nor password: what podman, buildah and skopeo send when they have none.
const emptyLogin = 'Basic Og=='

/**
 * One per runtime: a new configuration starts with nothing remembered.
 * Source: seeds "Fail-Closed Design"; RFC 7617, RFC 6750.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #underWay = new Map<string, Promise<Remembered>>()
  readonly #hasUsers: boolean

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#hasUsers = options.basic.size > 0 || options.oidc.names.size > 0
  }

  /** Whether credentials in a header could help: only then is a client asked for them. */
  get hasMethods(): boolean {
    return this.#hasUsers || this.#options.tokens.isUsed
  }

  /**
   * At once where nothing has to be hashed or verified. A wrong password leaves what else the request
   * shows, a certificate or nobody; but with `isLogin`, where the client asks whether it may log in at
   * all, it is refused, and so is a request without any credential, since clients take a 200 to mean
   * that none is needed. A wrong token is refused wherever it is shown.
   * Errors: OciError UNAUTHORIZED (401), TOOMANYREQUESTS (429) after many wrong guesses, UNAVAILABLE
   * (503) where too many logins wait or a provider is away; thrown, or the promise rejects.
   */
  authenticate(
    request: Credentials,
    isLogin: boolean,
    address: () => string,
  ): Identity | Promise<Identity> {
    const { certificate } = request
    const { hasMethods } = this
    const authorization = hasMethods ? request.header('authorization') : ''
    if (authorization === '' || authorization === emptyLogin) {
      if (isLogin && hasMethods && certificate === undefined) throw unauthorized()
      return combine(certificate, anonymous)
    }
    const key = this.#options.cache.keyOf(authorization)
    const known = this.#options.cache.get(key)
    if (known !== undefined && !this.#hasExpired(known)) {
      const identity = this.#settle(key, known, certificate, isLogin, address)
      this.#count(known)
      return identity
    }
    const checking = this.#once(key, () => this.#check(authorization, address()))
    return checking.then((found) => this.#settle(key, found, certificate, isLogin, address))
  }

  #settle(
    key: string,
    found: Remembered,
    certificate: ClientCertificate | undefined,
    isLogin: boolean,
    address: () => string,
  ): Identity {
    const { token } = found
    const problem = token && this.#options.tokens.problem(token, certificate)
    if (token === undefined || problem === undefined) return settle(found, certificate, isLogin)
    const refusal = this.#options.tokens.refusal(problem, token.tokenId)
    const { id, username } = token.identity
    this.#tell(token.method, 'failure', problem, { id, username }, address())
    // What ended stays so, and need not be told again and again; a certificate may yet be shown.
    if (problem !== 'wrong-certificate') {
      this.#options.cache.set(key, wrong(token.method, refusal), badForMs)
    }
    throw refusal
  }

  // Single flight: the same credential on many connections costs one hash.
  #once(key: string, check: () => Promise<Remembered>): Promise<Remembered> {
    const before = this.#underWay.get(key)
    if (before !== undefined) return before
    const checking = check()
      .then((found) => {
        const isGood = found.identity !== undefined
        this.#options.cache.set(key, found, isGood ? goodForMs : badForMs)
        return found
      })
      .finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, checking)
    return checking
  }

  async #check(authorization: string, address: string): Promise<Remembered> {
    const { basic, oidc, tokens } = this.#options
    const parsed = parseAuthorization(authorization)
    if (parsed.scheme === 'basic') {
      const { username, password } = parsed
      if (tokens.recognises(password)) return this.#checkOwn(password, username, address)
      if (oidc.names.has(username)) return this.#checkToken(password, username, address)
      return this.#checkPassword(parsed, address)
    }
    if (parsed.scheme === 'bearer') {
      const { token } = parsed
      const isOwn = tokens.recognises(token) || (oidc.names.size === 0 && tokens.isUsed)
      if (isOwn) return this.#checkOwn(token, undefined, address)
      if (oidc.names.size > 0) return this.#checkToken(token, undefined, address)
    }
    const method = basic.size > 0 ? 'basic' : 'unknown'
    this.#tell(method, 'failure', 'malformed', anonymous, address)
    return wrong('unknown', undefined)
  }

  async #checkPassword({ username, password }: Password, address: string): Promise<Remembered> {
    const { basic, failures } = this.#options
    const guess = { ...anonymous, username }
    const waitMs = failures.waitMs(address, username)
    if (waitMs > 0) {
      this.#tell('basic', 'refused', 'too-many-failures', guess, address)
      throw tooManyFailures(waitMs)
    }
    // Counted before it is known to be wrong: guesses sent at once must not all go through.
    failures.add(address, username)
    const outcome = await basic.check(username, password).catch((error: unknown) => {
      failures.forgive(address, username)
      this.#tell('basic', 'unavailable', 'error', guess, address)
      throw error
    })
    if (outcome.result !== 'success') {
      this.#tell('basic', 'failure', outcome.result, guess, address)
      return wrong('basic', undefined)
    }
    failures.forgive(address, username)
    failures.clear(username)
    const { id, groups, expiresAtMs } = outcome.user
    const identity: Identity = { ...anonymous, id, username, groups, authMethod: 'basic' }
    this.#tell('basic', 'success', 'success', identity, address)
    return right('basic', identity, expiresAtMs)
  }

  async #checkToken(
    token: string,
    provider: string | undefined,
    address: string,
  ): Promise<Remembered> {
    const nobody = { ...anonymous, id: provider ?? null }
    try {
      const { identity, expiresAtMs } = await this.#options.oidc.verify(token, provider)
      this.#tell('oidc', 'success', 'success', identity, address)
      return right('oidc', identity, expiresAtMs)
    } catch (error) {
      const isWrong = error instanceof OciError && error.status === 401
      const reason = reasonOf(error)
      this.#tell('oidc', isWrong ? 'failure' : 'unavailable', reason, nobody, address)
      if (isWrong) return wrong('oidc', error)
      throw error
    }
  }

  /** A token or an API key of the registry's own making. */
  async #checkOwn(
    credential: string,
    username: string | undefined,
    address: string,
  ): Promise<Remembered> {
    const { tokens } = this.#options
    const shown = { ...anonymous, username: username ?? null }
    try {
      const token = await tokens.verify(credential, username)
      const { method, identity, expiresAtMs } = token
      if (expiresAtMs > this.#options.now())
        this.#tell(method, 'success', 'success', identity, address)
      return { method, identity, expiresAtMs, refusal: undefined, token }
    } catch (error) {
      const isWrong = error instanceof OciError && error.status === 401
      this.#tell('token', isWrong ? 'failure' : 'unavailable', reasonOf(error), shown, address)
      if (isWrong) return wrong('token', error)
      throw error
    }
  }

  #hasExpired({ expiresAtMs }: Remembered): boolean {
    return expiresAtMs !== undefined && expiresAtMs <= this.#options.now()
  }

  #count({ method, identity }: Remembered): void {
    this.#options.counts.add(method, identity === undefined ? 'failure' : 'success')
  }

  #tell(
    method: Method,
    result: AuthResult,
    reason: string,
    { id, username }: Pick<Identity, 'id' | 'username'>,
    address: string,
  ): void {
    this.#options.counts.add(method, result)
    this.#options.onLogin({ method, result, reason, id, username, address })
  }
}

function settle(
  found: Remembered,
  certificate: ClientCertificate | undefined,
  isLogin: boolean,
): Identity {
  if (found.refusal !== undefined) throw found.refusal
  if (found.identity === undefined && isLogin) throw unauthorized()
  return combine(certificate, found.identity ?? anonymous)
}

function reasonOf(error: unknown): string {
  const cause = error instanceof OciError ? error.cause : undefined
  const isOfToken = cause instanceof TokenRefusal || cause instanceof RegistryTokenRefusal
  return isOfToken ? cause.problem : 'error'
}

function right(method: Method, identity: Identity, expiresAtMs: number | undefined): Remembered {
  return { method, identity: Object.freeze(identity), expiresAtMs, refusal: undefined }
}

function wrong(method: Method, refusal: OciError | undefined): Remembered {
  return { method, identity: undefined, expiresAtMs: undefined, refusal }
}

function unauthorized(): OciError {
  return new OciError('UNAUTHORIZED', { headers: [challenge] })
}

function tooManyFailures(waitMs: number): OciError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return new OciError('TOOMANYREQUESTS', {
    message: 'too many failed logins; wait before the next',
    headers: [['Retry-After', String(seconds)]],
  })
}
