// Request → Identity: a client certificate, user name and password, both, or nobody.

import type { ClientCertificate } from '../http/client-certificate.ts'
import { OciError } from '../oci/error.ts'
import type { AuthCounts, AuthResult } from '../telemetry/auth-counts.ts'
import { parseAuthorization } from './authorization.ts'
import type { BasicOutcome, BasicUser, BasicUsers } from './basic.ts'
import { challenge } from './challenge.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { FailedLogins } from './failed-logins.ts'
import { anonymous, type Identity } from './identity.ts'

/** The parts of a request that say who sent it. */
export interface Credentials {
  readonly certificate: ClientCertificate | undefined
  header(name: string): string
}

/** What is known of a credential that was checked; `user` is undefined where it was wrong. */
export interface Remembered {
  readonly user: BasicUser | undefined
  readonly identity: Identity
}

/** For the audit log. Never carries a password. */
export interface LoginEvent {
  readonly method: 'basic'
  readonly result: AuthResult
  readonly reason: BasicOutcome['result'] | 'too-many-failures' | 'error'
  readonly id: string | null
  readonly username: string
  readonly address: string
}

export interface AuthenticatorOptions {
  readonly basic: BasicUsers
  readonly cache: CredentialCache<Remembered>
  readonly failures: FailedLogins
  readonly counts: AuthCounts
  readonly onLogin: (event: LoginEvent) => void
}

interface Login {
  readonly username: string
  readonly password: string
  readonly key: string
  readonly address: string
}

// How long a checked credential need not be checked again. A wrong one soon may: the client that
// repeats it must not cost a hash each time, and nothing is let in by it.
const goodForMs = 5 * 60_000
const badForMs = 10_000
const nobody: Remembered = Object.freeze({ user: undefined, identity: anonymous })

/**
 * One per runtime: a new configuration starts with nothing remembered.
 * Source: seeds "Fail-Closed Design"; RFC 7617.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #underWay = new Map<string, Promise<Remembered>>()
  // One identity for all requests of a connection, so that later stages can keep what they know of it.
  readonly #certified = new WeakMap<ClientCertificate, Map<Identity, Identity>>()

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  /**
   * At once where nothing has to be hashed. A wrong password leaves what else the request shows, a
   * certificate or nobody; but with `isLogin`, where the client asks whether it may log in at all, it is
   * refused, and so is a request without any credential, since clients take a 200 to mean that none
   * is needed.
   * Errors: OciError UNAUTHORIZED (401), TOOMANYREQUESTS (429) after many wrong guesses, UNAVAILABLE
   * (503) where too many logins wait; thrown, or the promise rejects.
   */
  authenticate(
    request: Credentials,
    isLogin: boolean,
    address: () => string,
  ): Identity | Promise<Identity> {
    const { certificate } = request
    const { basic, cache } = this.#options
    const authorization = basic.size === 0 ? '' : request.header('authorization')
    if (authorization === '') {
      if (isLogin && basic.size > 0 && certificate === undefined) throw unauthorized()
      return this.#with(certificate, anonymous)
    }
    const key = cache.keyOf(authorization)
    const known = cache.get(key)
    if (known !== undefined && !this.#hasExpired(known)) {
      this.#count(known)
      return this.#settle(known, certificate, isLogin)
    }
    const parsed = parseAuthorization(authorization)
    if (parsed.scheme !== 'basic') return this.#settle(nobody, certificate, isLogin)
    const login = { ...parsed, key, address: address() }
    return this.#check(login).then((found) => this.#settle(found, certificate, isLogin))
  }

  #settle(
    found: Remembered,
    certificate: ClientCertificate | undefined,
    isLogin: boolean,
  ): Identity {
    if (found.user === undefined && isLogin) throw unauthorized()
    return this.#with(certificate, found.identity)
  }

  #with(certificate: ClientCertificate | undefined, identity: Identity): Identity {
    if (certificate === undefined) return identity
    let known = this.#certified.get(certificate)
    if (known === undefined) {
      known = new Map()
      this.#certified.set(certificate, known)
    }
    const before = known.get(identity)
    if (before !== undefined) return before
    const authMethod = identity.authMethod === 'anonymous' ? 'mtls' : identity.authMethod
    const certified: Identity = Object.freeze({ ...identity, certificate, authMethod })
    // A connection mostly has one user; one that tries thousands must not fill the memory.
    if (known.size >= 16) known.clear()
    known.set(identity, certified)
    return certified
  }

  // Single flight: the same credential on many connections costs one hash.
  #check(login: Login): Promise<Remembered> {
    const before = this.#underWay.get(login.key)
    if (before !== undefined) return before
    const checking = this.#checkOnce(login).finally(() => this.#underWay.delete(login.key))
    this.#underWay.set(login.key, checking)
    return checking
  }

  async #checkOnce(login: Login): Promise<Remembered> {
    const { basic, cache, failures } = this.#options
    const waitMs = failures.waitMs(login.address, login.username)
    if (waitMs > 0) {
      this.#tell(login, 'refused', 'too-many-failures', null)
      throw tooManyFailures(waitMs)
    }
    // Counted before it is known to be wrong: guesses sent at once must not all go through.
    failures.add(login.address, login.username)
    let outcome: BasicOutcome
    try {
      outcome = await basic.check(login.username, login.password)
    } catch (error) {
      failures.forgive(login.address, login.username)
      this.#tell(login, 'unavailable', 'error', null)
      throw error
    }
    if (outcome.result !== 'success') {
      this.#tell(login, 'failure', outcome.result, null)
      cache.set(login.key, nobody, badForMs)
      return nobody
    }
    const { user } = outcome
    failures.forgive(login.address, login.username)
    failures.clear(login.username)
    const found: Remembered = Object.freeze({ user, identity: identityOf(user) })
    this.#tell(login, 'success', 'success', user.id)
    cache.set(login.key, found, goodForMs)
    return found
  }

  #hasExpired({ user }: Remembered): boolean {
    return user !== undefined && this.#options.basic.isExpired(user)
  }

  #count({ user }: Remembered): void {
    this.#options.counts.add('basic', user === undefined ? 'failure' : 'success')
  }

  #tell(login: Login, result: AuthResult, reason: LoginEvent['reason'], id: string | null): void {
    const { username, address } = login
    this.#options.counts.add('basic', result)
    this.#options.onLogin({ method: 'basic', result, reason, id, username, address })
  }
}

function identityOf(user: BasicUser): Identity {
  return Object.freeze({
    ...anonymous,
    id: user.id,
    username: user.username,
    groups: user.groups,
    authMethod: 'basic',
  })
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
