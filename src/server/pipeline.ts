// The whole way of a request on one page: route → authenticate → authorize → operate → reply.

import type { Authenticator } from '../authenticate/authenticate.ts'
import type { Identity } from '../authenticate/identity.ts'
import type { Authorize } from '../authorize/authorize.ts'
import { errorReply } from '../http/error-reply.ts'
import type { Reply } from '../http/reply.ts'
import { OciError } from '../oci/error.ts'
import { operate } from '../operation/index.ts'
import type { Registry } from '../operation/registry.ts'
import type { MayPull } from '../operation/start-upload.ts'
import { storageFault } from '../operation/storage-fault.ts'
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
  readonly log: Logger
}

// In seconds. A limit on connections or requests passes as soon as others end.
const retryAfter = '2'

/** One per runtime. Nothing it throws reaches the transport. */
export class Pipeline {
  readonly #registry: Registry
  readonly #authenticator: Authenticator
  readonly #authorize: Authorize
  readonly #clientAddress: (exchange: Exchange) => string
  readonly #log: Logger
  readonly #getRoutes = new RouteMemo('GET')
  readonly #headRoutes = new RouteMemo('HEAD')

  constructor(options: PipelineOptions) {
    this.#registry = options.registry
    this.#authenticator = options.authenticator
    this.#authorize = options.authorize
    this.#clientAddress = options.clientAddress
    this.#log = options.log
  }

  /** A request that is answered from memory is answered before this returns, without a promise. */
  handle(exchange: Exchange): void {
    try {
      const action = this.#route(exchange)
      const address = (): string => this.#clientAddress(exchange)
      const isLogin = action.kind === 'get-api-version'
      const identity = this.#authenticator.authenticate(exchange, isLogin, address)
      const reply =
        identity instanceof Promise
          ? identity.then((known) => this.#answer(known, action, exchange, address))
          : this.#answer(identity, action, exchange, address)
      if (reply instanceof Promise) this.#later(exchange, reply)
      else this.#send(exchange, reply)
    } catch (error) {
      this.#send(exchange, this.fault(error))
    }
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
    this.#authorize(identity, action, address)
    const mayPull: MayPull = (repository, digest) =>
      this.#authorize.isAllowed(
        identity,
        { kind: 'get-blob', repository, digest, head: false },
        address,
      )
    return operate(action, exchange, this.#registry, mayPull)
  }

  #route(exchange: Exchange): Action {
    const { method, path, query } = exchange
    if (method === 'GET') return this.#getRoutes.route(path, query)
    if (method === 'HEAD') return this.#headRoutes.route(path, query)
    return route(exchange)
  }

  #later(exchange: Exchange, reply: Promise<Reply>): void {
    exchange.detach()
    reply
      .catch((error: unknown) => this.fault(error))
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
