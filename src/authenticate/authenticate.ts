// Request → Identity: a certificate, a token or a password, a gateway's word, several that agree, or nobody.

import { OciError } from '../oci/error.ts'
import { challenge } from './challenge.ts'
import {
  type Bearer,
  CredentialChecker,
  type CredentialCheckerOptions,
  type Remembered,
  tooManyFailures,
  wrong,
} from './check-credential.ts'
import { combine } from './combine.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { Gateway, GatewayProblem, GatewayRequest, GatewayUser } from './gateway.ts'
import { anonymous, type Identity } from './identity.ts'

/** The parts of a request that say who sent it. An `Exchange` of the server has them. */
export type Credentials = GatewayRequest

export interface AuthenticatorOptions extends CredentialCheckerOptions {
  /** Undefined where none is trusted. */
  readonly gateway: Gateway | undefined
  readonly cache: CredentialCache<Remembered>
}

/** For a secret that another stage looks up, such as a refresh token in a form. */
export interface SecretGuard {
  /** To be called before the look-up. Errors: OciError TOOMANYREQUESTS (429). */
  admit(secret: string): void
  /** It was wrong. */
  failed(secret: string): void
  succeeded(secret: string): void
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
  readonly #checker: CredentialChecker
  readonly #underWay = new Map<string, Promise<Remembered>>()
  readonly #hasUsers: boolean

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#checker = new CredentialChecker(options)
    this.#hasUsers = options.basic.size > 0 || options.oidc.names.size > 0
  }

  /** Whether anybody could log in: only then is a client asked for credentials. */
  get hasMethods(): boolean {
    return this.#readsHeader || this.#options.gateway !== undefined
  }

  /** Headers that named a user and did not come from a gateway. */
  get gatewayHeadersIgnored(): number {
    return this.#options.gateway?.ignored ?? 0
  }

  /**
   * At once where nothing has to be hashed or verified. A wrong password leaves what else the request
   * shows, a certificate, a gateway's word or nobody; but with `isLogin`, where the client asks whether
   * it may log in at all, it is refused, and so is a request without any credential, since clients take
   * a 200 to mean that none is needed. A wrong token is refused wherever it is shown, and so is a
   * request whose parts name different users.
   * `address`: of the client, seen through trusted proxies.
   * Errors: OciError UNAUTHORIZED (401), TOOMANYREQUESTS (429) after many wrong guesses, UNAVAILABLE
   * (503) where too many logins wait or a provider is away; thrown, or the promise rejects.
   */
  authenticate(
    request: Credentials,
    isLogin: boolean,
    address: () => string,
  ): Identity | Promise<Identity> {
    const { gateway } = this.#options
    const word = gateway?.wordOf(request)
    if (gateway === undefined || word === undefined) {
      return this.#identify(request, request.certificate, isLogin, address)
    }
    if (word.problem !== undefined) throw this.#refuseWord(word.problem, request, address)
    // The certificate is the gateway's, whoever the user is.
    const { user } = word
    if (user === undefined) return this.#identify(request, undefined, isLogin, address)
    const hasShown = showsCredential(this.#authorizationOf(request))
    const identity = this.#identify(request, undefined, isLogin && hasShown, address)
    return identity instanceof Promise
      ? identity.then((known) => this.#join(gateway, known, user, request, address))
      : this.#join(gateway, identity, user, request, address)
  }

  guard(address: () => string): SecretGuard {
    const { cache, failedTokens } = this.#options
    return {
      admit: (secret) => {
        const from = { address: address(), certificate: undefined }
        const waitMs = failedTokens.waitMs(cache.keyOf(secret), from.address)
        if (waitMs === 0) return
        this.#checker.tell(
          { method: 'token', result: 'refused', reason: 'too-many-failures' },
          from,
        )
        throw tooManyFailures(waitMs)
      },
      failed: (secret) => failedTokens.failed(cache.keyOf(secret), address()),
      succeeded: (secret) => failedTokens.succeeded(cache.keyOf(secret), address()),
    }
  }

  get #readsHeader(): boolean {
    return this.#hasUsers || this.#options.tokens.isUsed
  }

  #authorizationOf(request: Credentials): string {
    return this.#readsHeader ? request.header('authorization') : ''
  }

  /** `certificate`: the user's own. */
  #identify(
    request: Credentials,
    certificate: Credentials['certificate'],
    isLogin: boolean,
    address: () => string,
  ): Identity | Promise<Identity> {
    const authorization = this.#authorizationOf(request)
    if (!showsCredential(authorization)) {
      if (isLogin && certificate === undefined && this.hasMethods) throw unauthorized()
      return combine(certificate, anonymous)
    }
    const key = this.#options.cache.keyOf(authorization)
    const known = this.#options.cache.get(key)
    if (known !== undefined && !this.#hasExpired(known)) {
      const identity = this.#settle(key, known, certificate, isLogin, address)
      this.#options.counts.add(known.method, known.identity === undefined ? 'failure' : 'success')
      return identity
    }
    const bearer = { key, address: address(), certificate: request.certificate }
    const checking = this.#once(authorization, bearer)
    return checking.then((found) => this.#settle(key, found, certificate, isLogin, address))
  }

  #settle(
    key: string,
    found: Remembered,
    certificate: Credentials['certificate'],
    isLogin: boolean,
    address: () => string,
  ): Identity {
    const { token } = found
    const problem = token && this.#options.tokens.problem(token, certificate)
    if (token === undefined || problem === undefined) return settle(found, certificate, isLogin)
    const { method, identity, tokenId } = token
    const refusal = this.#options.tokens.refusal(problem, tokenId)
    const provider = identity.oidc?.providerName
    const told = {
      method,
      result: 'failure',
      reason: problem,
      identity,
      provider,
      tokenId,
    } as const
    this.#checker.tell(told, { address: address(), certificate })
    // What ended stays so, and need not be told again and again; a certificate may yet be shown.
    if (problem !== 'wrong-certificate') {
      this.#options.cache.set(key, wrong(token.method, refusal), badForMs)
    }
    throw refusal
  }

  // Single flight: the same credential on many connections costs one hash.
  #once(authorization: string, bearer: Bearer): Promise<Remembered> {
    const { key } = bearer
    const before = this.#underWay.get(key)
    if (before !== undefined) return before
    const checking = this.#checker
      .check(authorization, bearer)
      .then((found) => {
        const isGood = found.identity !== undefined
        const forMs = isGood ? Math.min(goodForMs, found.goodForMs ?? goodForMs) : badForMs
        this.#options.cache.set(key, found, forMs)
        return found
      })
      .finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, checking)
    return checking
  }

  #join(
    gateway: Gateway,
    identity: Identity,
    user: GatewayUser,
    request: Credentials,
    address: () => string,
  ): Identity {
    const joined = gateway.join(identity, user, (known) => {
      if (known.authMethod !== 'gateway') return
      const told = {
        method: 'gateway',
        result: 'success',
        reason: 'success',
        identity: known,
      } as const
      this.#checker.tell(told, { address: address(), certificate: request.certificate })
    })
    if ('problem' in joined) throw this.#refuseWord(joined.problem, request, address, user)
    const { identity: known, isNew } = joined
    if (known.authMethod === 'gateway' && !isNew) this.#options.counts.add('gateway', 'success')
    return known
  }

  #refuseWord(
    reason: GatewayProblem,
    { certificate }: Credentials,
    address: () => string,
    user?: GatewayUser,
  ): OciError {
    const identity = { id: null, username: user?.username ?? null }
    const told = { method: 'gateway', result: 'failure', reason, identity } as const
    this.#checker.tell(told, { address: address(), certificate })
    return unauthorized(`the gateway's word on the user is refused: ${reason}`)
  }

  #hasExpired({ expiresAtMs }: Remembered): boolean {
    return expiresAtMs !== undefined && expiresAtMs <= this.#options.now()
  }
}

function showsCredential(authorization: string): boolean {
  return authorization !== '' && authorization !== emptyLogin
}

function settle(
  found: Remembered,
  certificate: Credentials['certificate'],
  isLogin: boolean,
): Identity {
  if (found.refusal !== undefined) throw found.refusal
  if (found.identity === undefined && isLogin) throw unauthorized()
  return combine(certificate, found.identity ?? anonymous)
}

function unauthorized(message?: string): OciError {
  return new OciError('UNAUTHORIZED', {
    headers: [challenge],
    ...(message === undefined ? {} : { message }),
  })
}
