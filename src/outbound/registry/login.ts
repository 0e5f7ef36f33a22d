// How we show who we are to another registry: by what it asks for, and only to whom may see it.

import { isLoopbackHost } from '../../http/loopback.ts'
import { parseStrictJson } from '../../oci/strict-json.ts'
import type { CallerAuth } from '../contract.ts'
import { authorizationOf } from '../service-url.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { RemoteError } from './contract.ts'
import { type RemoteAnswer, readWhole, type Sending, send } from './send.ts'

const tokenBytesMax = 64 * 1024
const ttlSecondsDefault = 60
// Before its end, so that no request is under way with one that has run out.
const ttlShare = 0.8
const tokensMax = 1024

interface KeptToken {
  readonly authorization: string
  readonly untilMs: number
}

export interface LoginOptions {
  readonly url: URL
  readonly auth: Extract<CallerAuth, { kind: 'basic' }> | undefined
  readonly elapsed: () => number
}

export class Login {
  readonly #sending: Sending
  readonly #options: LoginOptions
  readonly #basic: string | undefined
  /** By scope: a token is good for one repository. */
  readonly #tokens = new Map<string, KeptToken>()
  #wantsBasic = false

  constructor(sending: Sending, options: LoginOptions) {
    this.#sending = sending
    this.#options = options
    this.#basic = options.auth && authorizationOf(sending.name, options.auth)
  }

  /** What is known to be asked for; undefined: try without. */
  authorization(scope: string): string | undefined {
    if (this.#wantsBasic) return this.#basic
    const kept = this.#tokens.get(scope)
    if (kept === undefined || kept.untilMs <= this.#options.elapsed()) return undefined
    return kept.authorization
  }

  /**
   * After a 401: what to show instead of `shown`; undefined where there is nothing better.
   * Errors: RemoteError 'unauthorized', 'unavailable', 'malformed'.
   */
  async answer(
    refusal: RemoteAnswer,
    scope: string,
    shown: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const header = refusal.headers['www-authenticate']
    const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
    const challenges = parseChallenges(text)
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer !== undefined) {
      // A fresh token that is refused as well is no good.
      this.#tokens.delete(scope)
      const token = await this.#fetchToken(bearer, scope, signal)
      return token === shown ? undefined : token
    }
    const isBasic = challenges.some(({ scheme }) => scheme === 'basic')
    if (!isBasic || this.#basic === undefined || shown === this.#basic) return undefined
    this.#wantsBasic = true
    return this.#basic
  }

  async #fetchToken(
    { parameters }: Challenge,
    scope: string,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { name } = this.#sending
    const url = this.#realm(parameters.get('realm'))
    const service = parameters.get('service')
    if (service !== undefined) url.searchParams.set('service', service)
    if (scope !== '') url.searchParams.set('scope', scope)
    const headers = {
      accept: 'application/json',
      ...(this.#basic === undefined ? {} : { authorization: this.#basic }),
    }
    const answer = await send(this.#sending, { method: 'GET', url, headers, signal })
    const bytes = await readWhole(this.#sending, answer, tokenBytesMax)
    if (answer.statusCode !== 200) {
      const problem = answer.statusCode >= 500 ? 'unavailable' : 'unauthorized'
      throw new RemoteError(problem, `${name}: no token, ${url.host} answered ${answer.statusCode}`)
    }
    const { authorization, ttlMs } = readToken(name, bytes)
    const [oldest] = this.#tokens.keys()
    if (oldest !== undefined && this.#tokens.size >= tokensMax) this.#tokens.delete(oldest)
    this.#tokens.set(scope, { authorization, untilMs: this.#options.elapsed() + ttlMs })
    return authorization
  }

  // The registry names it, so it may be anywhere; a password goes only where nobody can read it.
  #realm(realm: string | undefined): URL {
    const { name } = this.#sending
    if (realm === undefined || !URL.canParse(realm)) {
      throw new RemoteError('malformed', `${name}: it asks for a token, and names no place for it`)
    }
    const url = new URL(realm)
    const isSafe = url.protocol === 'https:' || isPlainAndNear(url)
    const isOpen = url.protocol === 'http:' && this.#basic === undefined
    if (isSafe || (isOpen && this.#sending.allowPlainHttp)) return url
    const where = `${url.protocol}//${url.host}`
    throw new RemoteError(
      'unauthorized',
      `${name}: credentials are not sent to ${where} without TLS`,
    )
  }
}

function isPlainAndNear(url: URL): boolean {
  return url.protocol === 'http:' && isLoopbackHost(url.hostname)
}

function readToken(name: string, bytes: Buffer): { authorization: string; ttlMs: number } {
  const { token, access_token: accessToken, expires_in: expiresIn } = readJson(name, bytes)
  const text = token ?? accessToken
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new RemoteError('malformed', `${name}: an answer without a token`)
  }
  const isTtl = typeof expiresIn === 'number' && Number.isFinite(expiresIn) && expiresIn > 0
  const ttlSeconds = isTtl ? expiresIn : ttlSecondsDefault
  return { authorization: `Bearer ${text}`, ttlMs: ttlSeconds * 1000 * ttlShare }
}

/** Errors: RemoteError 'malformed'. */
export function readJson(name: string, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const json = parseStrictJson(bytes, { depthMax: 16, keysMax: 4096, valuesMax: 1_000_000 })
  const value = json.ok ? json.value : undefined
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RemoteError('malformed', `${name}: an answer that is no JSON object`)
  }
  return value as Readonly<Record<string, unknown>>
}
