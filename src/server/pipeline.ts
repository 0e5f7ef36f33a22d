// The whole way of a request on one page: route → authenticate → authorize → operate → reply.

import type { Authenticator } from '../authenticate/authenticate.ts'
import type { Identity } from '../authenticate/identity.ts'
import { challengeErrorOf } from '../authenticate/token/challenge.ts'
import type { Challenges } from '../authenticate/token/contract.ts'
import { scopeAllows, scopeRefusal } from '../authenticate/token/scope.ts'
import type { Authorize } from '../authorize/authorize.ts'
import { errorReply } from '../http/error-reply.ts'
import type { Reply } from '../http/reply.ts'
import { OciError } from '../oci/error.ts'
import { operate } from '../operation/index.ts'
import type { Registry } from '../operation/registry.ts'
import type { MayPull } from '../operation/start-upload.ts'
import { storageFault } from '../operation/storage-fault.ts'
import type { TokenCaller, TokenService } from '../operation/token/token-service.ts'
import type { Action } from '../route/action.ts'
import { RouteMemo } from '../route/memo.ts'
import { route } from '../route/route.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Limit } from './transport/admission.ts'
import type { Exchange } from './transport/exchange.ts'

interface PipelineOptions {
  readonly registry: Registry
  readonly authenticator: Authenticator
  readonly authorize: Authorize
  /** The client's address, seen through trusted proxies. */
  readonly clientAddress: (exchange: Exchange) => string
  readonly challenges: Challenges
  /** How the client reaches this server; undefined where it does not say. */
  readonly origin: (exchange: Exchange) => string | undefined
  /** Undefined where there is none. */
  readonly tokens: TokenService | undefined
  readonly log: Logger
}

const nothing: MayPull = () => false

// In seconds. A limit on connections or requests passes as soon as others end.
const retryAfter = '2'

/** One per runtime. Nothing it throws reaches the transport. */
export class Pipeline {
  readonly #registry: Registry
  readonly #authenticator: Authenticator
  readonly #authorize: Authorize
  readonly #clientAddress: (exchange: Exchange) => string
  readonly #challenges: Challenges
  readonly #origin: (exchange: Exchange) => string | undefined
  readonly #tokens: TokenService | undefined
  readonly #log: Logger
  readonly #getRoutes = new RouteMemo('GET')
  readonly #headRoutes = new RouteMemo('HEAD')

  constructor(options: PipelineOptions) {
    this.#registry = options.registry
    this.#authenticator = options.authenticator
    this.#authorize = options.authorize
    this.#clientAddress = options.clientAddress
    this.#challenges = options.challenges
    this.#origin = options.origin
    this.#tokens = options.tokens
    this.#log = options.log
  }

  /** A request that is answered from memory is answered before this returns, without a promise. */
  handle(exchange: Exchange): void {
    let action: Action | undefined
    try {
      const asked = this.#route(exchange)
      action = asked
      const address = (): string => this.#clientAddress(exchange)
      // For a token a login need not be shown, but one that is must be right.
      const isLogin =
        asked.kind === 'get-api-version' ||
        (asked.kind === 'get-token' && exchange.header('authorization') !== '')
      const identity = this.#authenticator.authenticate(exchange, isLogin, address)
      const reply =
        identity instanceof Promise
          ? identity.then((known) => this.#answer(known, asked, exchange, address))
          : this.#answer(identity, asked, exchange, address)
      if (reply instanceof Promise) this.#later(exchange, asked, reply)
      else this.#send(exchange, reply)
    } catch (error) {
      this.#send(exchange, this.#refusal(error, action, exchange))
    }
  }

  /** As `fault`; a 401 says where to get a token, and for what. */
  #refusal(error: unknown, action: Action | undefined, exchange: Exchange): Reply {
    const isAsked = error instanceof OciError && error.code === 'UNAUTHORIZED'
    if (!isAsked || !this.#challenges.areForTokens) return this.fault(error)
    const { code, status, message, detail, cause, closeConnection } = error
    const origin = (): string | undefined => this.#origin(exchange)
    const value = this.#challenges.challengeFor(action, origin, challengeErrorOf(error))
    const others = error.headers.filter(([name]) => name.toLowerCase() !== 'www-authenticate')
    const headers = [['WWW-Authenticate', value] as const, ...others]
    return this.fault(
      new OciError(code, { status, message, detail, cause, closeConnection, headers }),
    )
  }

  /** Any error → the reply for it. What is not a refusal is logged, under an id that the client gets. */
  fault(error: unknown): Reply {
    const refusal = error instanceof OciError ? error : storageFault(error)
    if (refusal !== undefined && refusal.status < 500) return errorReply(refusal)
    const requestId = this.#registry.randomUuid()
    const known = refusal ?? new OciError('INTERNAL', { cause: error })
    this.#log.error({ requestId, code: known.code, err: known.cause ?? known }, 'request failed')
    return errorReply(known, requestId)
  }

  /** For framing that cannot be trusted: what follows on the connection may not be a request. */
  refuse(reason: string): Reply {
    return errorReply(
      new OciError('REQUEST_INVALID', {
        message: `refused: ${reason}`,
        closeConnection: true,
      }),
    )
  }

  /** For a client beyond a limit of its own, or one that comes when all places are taken. */
  busy(limit: Limit): Reply {
    const headers = [['Retry-After', retryAfter]] as const
    return errorReply(
      limit === 'address'
        ? new OciError('TOOMANYREQUESTS', {
            message: 'too many at a time from this address',
            headers,
          })
        : new OciError('UNAVAILABLE', { headers }),
    )
  }

  #answer(
    identity: Identity,
    action: Action,
    exchange: Exchange,
    address: () => string,
  ): Reply | Promise<Reply> {
    if (action.kind === 'get-token') return this.#answerToken(identity, action, exchange, address)
    if (!scopeAllows(identity.scopes, action)) throw scopeRefusal(identity, action)
    this.#authorize(identity, action, address)
    const mayPull = action.kind === 'mount-blob' ? this.#mayPull(identity, address) : nothing
    return operate(action, exchange, this.#registry, mayPull)
  }

  // A closure, which only the one action that asks for it has to pay for.
  #mayPull(identity: Identity, address: () => string): MayPull {
    return (repository, digest) => {
      const pull = { kind: 'get-blob', repository, digest, head: false } as const
      return (
        scopeAllows(identity.scopes, pull) && this.#authorize.isAllowed(identity, pull, address)
      )
    }
  }

  // No policy is asked about it: a token gives no right by itself.
  #answerToken(
    identity: Identity,
    action: Extract<Action, { kind: 'get-token' }>,
    exchange: Exchange,
    address: () => string,
  ): Reply | Promise<Reply> {
    if (this.#tokens === undefined) throw new OciError('ROUTE_UNKNOWN')
    const caller: TokenCaller = {
      identity,
      login: (username, password) => {
        const credential = Buffer.from(`${username}:${password}`).toString('base64')
        const header = (name: string): string =>
          name === 'authorization' ? `Basic ${credential}` : ''
        const { certificate } = exchange
        return this.#authenticator.authenticate({ certificate, header }, true, address)
      },
      mayBeAllowed: (who, what) => this.#authorize.mayBeAllowed(who, what, address),
    }
    return this.#tokens.answer(action, exchange, caller)
  }

  #route(exchange: Exchange): Action {
    const { method, path, query } = exchange
    if (method === 'GET') return this.#getRoutes.route(path, query)
    if (method === 'HEAD') return this.#headRoutes.route(path, query)
    return route(exchange)
  }

  #later(exchange: Exchange, action: Action, reply: Promise<Reply>): void {
    exchange.detach()
    reply
      .catch((error: unknown) => this.#refusal(error, action, exchange))
      .then((settled) => this.#send(exchange, settled))
      .catch((error: unknown) => this.#log.error({ err: error }, 'reply failed'))
  }

  #send(exchange: Exchange, reply: Reply): void {
    exchange.send(exchange.method === 'HEAD' ? withoutBody(reply) : reply)
  }
}

/** The reply to HEAD: what GET would have answered, less its body. */
function withoutBody(reply: Reply): Reply {
  if (reply.kind !== 'whole') return reply
  const { status, headers, body } = reply
  return { kind: 'head', status, headers, length: body?.length ?? 0 }
}
