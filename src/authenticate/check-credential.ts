// One credential, looked at for the first time: which method it belongs to, and whether it is good.

import type { ClientCertificate } from '../http/client-certificate.ts'
import { OciError } from '../oci/error.ts'
import type { AuthCounts, AuthResult } from '../telemetry/auth-counts.ts'
import { parseAuthorization } from './authorization.ts'
import type { BasicUsers } from './basic.ts'
import type { FailedLogins } from './failed-logins.ts'
import type { FailedTokens } from './failed-tokens.ts'
import { anonymous, type Identity } from './identity.ts'
import { type LoginEvent, type LoginMethod, shownUsername, subjectOf } from './login-event.ts'
import { type OidcProviders, TokenRefusal } from './oidc/contract.ts'
import { RegistryTokenRefusal, type RegistryTokens, type VerifiedToken } from './token/contract.ts'

/** What is known of a credential that was looked at. */
export interface Remembered {
  readonly method: LoginMethod
  /** Undefined where it was wrong. */
  readonly identity: Identity | undefined
  /** Wall clock, in ms since the epoch; the identity is nobody's from then on. */
  readonly expiresAtMs: number | undefined
  /** For how long it may be remembered at most, in ms. */
  readonly goodForMs?: number | undefined
  /** A wrong one that is refused at once, wherever it is shown. */
  readonly refusal: OciError | undefined
  /** Of the registry's own making: asked on each request whether it still counts. */
  readonly token?: VerifiedToken
}

/** Who shows a credential. */
export interface Bearer {
  /** Of the whole credential, as the credential cache has it. */
  readonly key: string
  readonly address: string
  /** Of the connection. */
  readonly certificate: ClientCertificate | undefined
}

export interface CredentialCheckerOptions {
  readonly basic: BasicUsers
  readonly oidc: OidcProviders
  readonly tokens: RegistryTokens
  readonly failures: FailedLogins
  readonly failedTokens: FailedTokens
  readonly counts: AuthCounts
  readonly onLogin: (event: LoginEvent) => void
  /** Wall clock, in ms. */
  readonly now: () => number
}

// As where too many wait for a thread.
const crowdedRetrySeconds = '2'

interface Password {
  readonly username: string
  readonly password: string
}

/** What there is to tell of one attempt, besides who made it. */
export interface Told {
  readonly method: LoginMethod
  readonly result: AuthResult
  readonly reason: string
  readonly identity?: Pick<Identity, 'id' | 'username'>
  readonly provider?: string | undefined
  readonly tokenId?: string | undefined
}

export class CredentialChecker {
  readonly #options: CredentialCheckerOptions

  constructor(options: CredentialCheckerOptions) {
    this.#options = options
  }

  /** Errors: rejects with OciError TOOMANYREQUESTS (429), UNAVAILABLE (503). */
  async check(authorization: string, bearer: Bearer): Promise<Remembered> {
    const { basic, oidc, tokens } = this.#options
    const parsed = parseAuthorization(authorization)
    if (parsed.scheme === 'basic') {
      const { username, password } = parsed
      if (tokens.recognises(password)) return this.#checkOwn(password, username, bearer)
      if (oidc.names.has(username)) return this.#checkOidc(password, username, bearer)
      return this.#checkPassword(parsed, bearer)
    }
    if (parsed.scheme === 'bearer') {
      const { token } = parsed
      const isOwn = tokens.recognises(token) || (oidc.names.size === 0 && tokens.isUsed)
      if (isOwn) return this.#checkOwn(token, undefined, bearer)
      if (oidc.names.size > 0) return this.#checkOidc(token, undefined, bearer)
    }
    const method = basic.size > 0 ? 'basic' : 'unknown'
    this.tell({ method, result: 'failure', reason: 'malformed' }, bearer)
    return wrong('unknown', undefined)
  }

  /** Counts an attempt and tells of it. */
  tell(told: Told, { address, certificate }: Omit<Bearer, 'key'>): void {
    const { method, result, reason, identity = anonymous, provider = null, tokenId = null } = told
    this.#options.counts.add(method, result)
    const username = shownUsername(identity.username)
    this.#options.onLogin({
      ...{ method, result, reason, id: identity.id, username, address },
      ...{ certificateSubject: subjectOf(certificate), provider, tokenId },
    })
  }

  async #checkPassword({ username, password }: Password, bearer: Bearer): Promise<Remembered> {
    const { basic, failures } = this.#options
    const attempt = { method: 'basic', identity: { id: null, username } } as const
    const counted = basic.countedName(username)
    const guess = { key: bearer.key, address: bearer.address, username: counted }
    const admission = await failures.admit(guess)
    if (admission.result === 'paused') {
      this.tell({ ...attempt, result: 'refused', reason: 'too-many-failures' }, bearer)
      throw tooManyFailures(admission.waitMs)
    }
    if (admission.result === 'crowded') {
      this.tell({ ...attempt, result: 'refused', reason: 'too-many-waiting' }, bearer)
      throw new OciError('UNAVAILABLE', { headers: [['Retry-After', crowdedRetrySeconds]] })
    }
    const { turn } = admission
    const outcome = await basic.check(username, password).catch((error: unknown) => {
      turn.unchecked()
      this.tell({ ...attempt, result: 'unavailable', reason: 'error' }, bearer)
      throw error
    })
    if (outcome.result !== 'success') {
      turn.failed()
      this.tell({ ...attempt, result: 'failure', reason: outcome.result }, bearer)
      return wrong('basic', undefined)
    }
    turn.succeeded()
    const { expiresAtMs, ...user } = outcome.user
    const { authMethod: method } = user
    const identity: Identity = { ...anonymous, ...user }
    this.tell({ method, result: 'success', reason: 'success', identity }, bearer)
    return right(method, identity, expiresAtMs)
  }

  async #checkOidc(
    token: string,
    provider: string | undefined,
    bearer: Bearer,
  ): Promise<Remembered> {
    const attempt = {
      method: 'oidc',
      identity: { id: provider ?? null, username: null },
      provider,
    } as const
    this.#admitToken(attempt, bearer)
    try {
      const verified = await this.#options.oidc.verify(token, provider)
      const { identity, expiresAtMs, goodForMs, tokenId } = verified
      this.#options.failedTokens.succeeded(bearer.key, bearer.address)
      const providerName = identity.oidc?.providerName
      const told = { identity, provider: providerName, tokenId }
      this.tell({ method: 'oidc', result: 'success', reason: 'success', ...told }, bearer)
      return { ...right('oidc', identity, expiresAtMs), goodForMs }
    } catch (error) {
      return this.#refused(error, attempt, bearer)
    }
  }

  /** A token or an API key of the registry's own making. */
  async #checkOwn(
    credential: string,
    username: string | undefined,
    bearer: Bearer,
  ): Promise<Remembered> {
    const { tokens, failedTokens, now } = this.#options
    const shown = { id: null, username: username ?? null }
    const attempt = { method: 'token', identity: shown } as const
    this.#admitToken(attempt, bearer)
    try {
      const token = await tokens.verify(credential, username)
      const { method, identity, expiresAtMs, tokenId } = token
      failedTokens.succeeded(bearer.key, bearer.address)
      const provider = identity.oidc?.providerName
      const told = { method, identity, provider, tokenId }
      if (expiresAtMs > now()) {
        this.tell({ ...told, result: 'success', reason: 'success' }, bearer)
      }
      return { method, identity, expiresAtMs, refusal: undefined, token }
    } catch (error) {
      return this.#refused(error, attempt, bearer)
    }
  }

  #admitToken(attempt: Omit<Told, 'result' | 'reason'>, bearer: Bearer): void {
    const waitMs = this.#options.failedTokens.waitMs(bearer.key, bearer.address)
    if (waitMs === 0) return
    this.tell({ ...attempt, result: 'refused', reason: 'too-many-failures' }, bearer)
    throw tooManyFailures(waitMs)
  }

  /** Errors: what was thrown, where it says nothing of the token. */
  #refused(error: unknown, attempt: Omit<Told, 'result' | 'reason'>, bearer: Bearer): Remembered {
    const isWrong = error instanceof OciError && error.status === 401
    const cause = error instanceof OciError ? error.cause : undefined
    const isOfToken = cause instanceof TokenRefusal || cause instanceof RegistryTokenRefusal
    const reason = isOfToken ? cause.problem : 'error'
    const provider = cause instanceof TokenRefusal ? cause.provider : attempt.provider
    const tokenId = cause instanceof RegistryTokenRefusal ? cause.tokenId : undefined
    const result = isWrong ? 'failure' : 'unavailable'
    this.tell({ ...attempt, result, reason, provider, tokenId }, bearer)
    if (!isWrong) throw error
    this.#options.failedTokens.failed(bearer.key, bearer.address)
    return wrong(attempt.method, error)
  }
}

function right(
  method: LoginMethod,
  identity: Identity,
  expiresAtMs: number | undefined,
): Remembered {
  return { method, identity: Object.freeze(identity), expiresAtMs, refusal: undefined }
}

/** A credential that is not good; `refusal` where that ends the request whatever else it shows. */
export function wrong(method: LoginMethod, refusal: OciError | undefined): Remembered {
  return { method, identity: undefined, expiresAtMs: undefined, refusal }
}

/** 429. Units: ms. */
export function tooManyFailures(waitMs: number): OciError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return new OciError('TOOMANYREQUESTS', {
    message: 'too many failed logins; wait before the next',
    headers: [['Retry-After', String(seconds)]],
  })
}
