// The whole way of a request on one page: route → authenticate → authorize → operate → reply. Limits on
// use stand around the login, and around the operation.

import type { Audit } from '../audit/audit.ts'
import type { Authenticator, Credentials } from '../authenticate/authenticate.ts'
import type { Identity } from '../authenticate/identity.ts'
import { challengeErrorOf } from '../authenticate/token/challenge.ts'
import type { Challenges } from '../authenticate/token/contract.ts'
import { scopeAllows, scopeRefusal } from '../authenticate/token/scope.ts'
import type { Authorize } from '../authorize/authorize.ts'
import { errorReply } from '../http/error-reply.ts'
import type { Reply } from '../http/reply.ts'
import type { Limits } from '../limit/create.ts'
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
import { type ForwardAuth, forwardRefusal } from './forward-auth.ts'
import { pullsOf, sightOf } from './implied-reads.ts'
import type { Observer } from './observe.ts'
import { ObservedRefusal } from './observed-refusal.ts'
import { ObservedRequest } from './observed-request.ts'
import { tracedRefusal } from './traced-refusal.ts'
import type { Limit } from './transport/admission.ts'
import type { Asker, Exchange } from './transport/exchange.ts'

interface PipelineOptions {
  readonly registry: Registry
  readonly authenticator: Authenticator
  readonly authorize: Authorize
  readonly challenges: Challenges
  /** How the client reaches this server; undefined where it does not say. */
  readonly origin: (exchange: Exchange) => string | undefined
  /** Undefined where there is none. */
  readonly tokens: TokenService | undefined
  /** Without it nothing is limited. */
  readonly limits?: Limits
  /** Undefined where no proxy may ask. */
  readonly forwardAuth?: ForwardAuth | undefined
  readonly audit: Pick<Audit, 'refusal'>
  readonly observer: Observer
  readonly log: Logger
}

const nothing: MayPull = () => false
const unlimited: Limits = { rates: undefined, transfers: undefined }

// In seconds. A limit on connections or requests passes as soon as others end.
const retryAfter = '2'

/** One per runtime. Nothing it throws reaches the transport. */
export class Pipeline {
  readonly #registry: Registry
  readonly #authenticator: Authenticator
  readonly #authorize: Authorize
  readonly #challenges: Challenges
  readonly #origin: (exchange: Exchange) => string | undefined
  readonly #tokens: TokenService | undefined
  readonly #limits: Limits
  readonly #forwardAuth: ForwardAuth | undefined
  readonly #audit: Pick<Audit, 'refusal'>
  readonly #observer: Observer
  readonly #log: Logger
  readonly #getRoutes = new RouteMemo('GET')
  readonly #headRoutes = new RouteMemo('HEAD')
  #waiting = 0

  constructor(options: PipelineOptions) {
    this.#registry = options.registry
    this.#authenticator = options.authenticator
    this.#authorize = options.authorize
    this.#challenges = options.challenges
    this.#origin = options.origin
    this.#tokens = options.tokens
    this.#limits = options.limits ?? unlimited
    this.#forwardAuth = options.forwardAuth
    this.#audit = options.audit
    this.#observer = options.observer
    this.#log = options.log
  }

  /** Requests that are being decided or worked on: they still ask what this was made of. */
  get waiting(): number {
    return this.#waiting
  }

  /** A request that is answered from memory is answered before this returns, without a promise. */
  handle(exchange: Exchange): void {
    if (this.#forwardAuth?.isAsked(exchange) === true) {
      this.#forward(exchange, this.#forwardAuth)
      return
    }
    const request = this.#observe(exchange)
    try {
      const action = this.#route(exchange)
      request.action = action
      const address = (): string => request.clientIp()
      const identity = this.#identify(action, exchange, address)
      const reply =
        identity instanceof Promise
          ? identity.then((known) => this.#answer(known, action, request))
          : this.#answer(identity, action, request)
      if (reply instanceof Promise) {
        this.#later(request, reply, (error) => this.#refusal(error, request))
      } else this.#send(request, reply)
    } catch (error) {
      this.#send(request, this.#refusal(error, request))
    }
  }

  #observe(exchange: Exchange): ObservedRequest {
    return new ObservedRequest(exchange, this.#observer)
  }

  #forward(exchange: Exchange, forwardAuth: ForwardAuth): void {
    const request = this.#observe(exchange)
    request.forwarded()
    const refuse = (thrown: unknown): Reply => {
      if (!(thrown instanceof OciError)) return this.fault(thrown, request)
      return this.fault(forwardRefusal(this.#traced(thrown, request)), request)
    }
    try {
      const original = forwardAuth.original(exchange)
      request.original = original.asked
      request.action = original.action
      const shown = forwardAuth.credentials(exchange)
      const identity = this.#identify(original.action, shown, () => original.asked.clientIp())
      const reply = Promise.resolve(identity).then((known) => {
        request.identity = known
        return forwardAuth.answer(known, original)
      })
      this.#later(request, reply, refuse)
    } catch (error) {
      this.#send(request, refuse(error))
    }
  }

  #identify(
    action: Action,
    shown: Credentials,
    address: () => string,
  ): Identity | Promise<Identity> {
    // For a token a login need not be shown, but one that is must be right.
    const isLogin =
      action.kind === 'get-api-version' ||
      (action.kind === 'get-token' && shown.header('authorization') !== '')
    const { rates } = this.#limits
    if (rates === undefined) return this.#authenticator.authenticate(shown, isLogin, address)
    const login = (): Identity | Promise<Identity> =>
      this.#authenticator.authenticate(shown, isLogin, address)
    return rates.admit(action, address, login)
  }

  #refusal(thrown: unknown, request: ObservedRequest): Reply {
    const error = thrown instanceof OciError ? this.#traced(thrown, request) : thrown
    return this.fault(error, request)
  }

  /** A 401 or 403 can be traced, and a 401 says where to get a token, and for what. */
  #traced(thrown: OciError, request: ObservedRequest): OciError {
    const { action, identity, original: asked = request } = request
    const error = tracedRefusal(thrown, { action, identity, asked }, this.#audit)
    const decisionId = decisionIdOf(error)
    if (decisionId !== '') request.decisionId = decisionId
    if (error.code !== 'UNAUTHORIZED' || !this.#challenges.areForTokens) return error
    const { code, status, message, detail, cause, closeConnection } = error
    const origin = (): string | undefined => this.#origin(request.exchange)
    const value = this.#challenges.challengeFor(action, origin, challengeErrorOf(error))
    const others = error.headers.filter(([name]) => name.toLowerCase() !== 'www-authenticate')
    const headers = [['WWW-Authenticate', value] as const, ...others]
    return new OciError(code, { status, message, detail, cause, closeConnection, headers })
  }

  /** Any error → the reply for it. What is not a refusal is logged, under an id that the client gets. */
  fault(error: unknown, request?: ObservedRequest): Reply {
    const refusal = error instanceof OciError ? error : storageFault(error)
    if (refusal !== undefined && refusal.status < 500) {
      // An id leads to a line of the log; where there is none it would be in vain.
      return errorReply(refusal, this.#observer.logsRefusals ? request?.requestId : undefined)
    }
    const requestId = request?.requestId ?? this.#registry.randomUuid()
    const known = refusal ?? new OciError('INTERNAL', { cause: error })
    const { code, cause } = known
    this.#observer.failed(code)
    // A queue or a disk that is full says all there is to say; a stack for each of a thousand would bury the
    // rest.
    if (
      (code === 'UNAVAILABLE' || code === 'READ_ONLY' || code === 'STORAGE_FULL') &&
      cause === undefined
    ) {
      this.#log.warn({ requestId, code, reason: known.message }, 'request refused for the moment')
    } else this.#log.error({ requestId, code, err: cause ?? known }, 'request failed')
    return errorReply(known, requestId)
  }

  /** For framing that cannot be trusted: what follows on the connection may not be a request. */
  refuse(reason: string, asker: Asker, status?: number): Reply {
    const message = `refused: ${reason}`
    return this.#refused(
      new OciError('REQUEST_INVALID', { message, closeConnection: true }),
      asker,
      status,
    )
  }

  /** For a client beyond a limit of its own, or one that comes when all places are taken. */
  busy(limit: Limit, asker: Asker): Reply {
    const headers = [['Retry-After', retryAfter]] as const
    const message = 'too many at a time from this address'
    return this.#refused(
      limit === 'address'
        ? new OciError('TOOMANYREQUESTS', { message, headers })
        : new OciError('UNAVAILABLE', { headers }),
      asker,
    )
  }

  #refused(error: OciError, asker: Asker, status?: number): Reply {
    const requestId = this.#observer.requestIdOf(asker)
    const reply = errorReply(error, this.#observer.logsRefusals ? requestId : undefined)
    this.#observer.finished(new ObservedRefusal(asker, requestId, reply, status))
    return reply
  }

  #answer(identity: Identity, action: Action, request: ObservedRequest): Reply | Promise<Reply> {
    request.identity = identity
    if (action.kind === 'get-token') return this.#answerToken(identity, action, request)
    if (!scopeAllows(identity.scopes, action)) throw scopeRefusal(identity, action)
    const waits = this.#authorize(identity, action, request)
    return waits instanceof Promise
      ? waits.then(() => this.#operate(identity, action, request))
      : this.#operate(identity, action, request)
  }

  #operate(identity: Identity, action: Action, request: ObservedRequest): Reply | Promise<Reply> {
    // Closures, which only the actions that ask for them have to pay for.
    const mayPull =
      action.kind === 'mount-blob' ? pullsOf(identity, this.#authorize, request) : nothing
    const sight = sightOf(identity, action, this.#authorize, request)
    const { transfers } = this.#limits
    const address = (): string => request.clientIp()
    const transfer = transfers?.begin(identity, action, request.body, address)
    if (transfer === undefined) return operate(action, request, this.#registry, mayPull, sight)
    const { path } = request
    const header = (name: string): string => request.header(name)
    const provenClientIp = (): string | undefined => request.provenClientIp()
    return transfer.run((body) =>
      operate(action, { path, body, header, provenClientIp }, this.#registry, mayPull, sight),
    )
  }

  // No policy is asked about it: a token gives no right by itself.
  #answerToken(
    identity: Identity,
    action: Extract<Action, { kind: 'get-token' }>,
    request: ObservedRequest,
  ): Reply | Promise<Reply> {
    const { exchange } = request
    if (this.#tokens === undefined) throw new OciError('ROUTE_UNKNOWN')
    const caller: TokenCaller = {
      identity,
      login: (username, password) => {
        const credential = Buffer.from(`${username}:${password}`).toString('base64')
        const { certificate, remoteAddress } = exchange
        const shown: Credentials = {
          ...{ certificate, remoteAddress },
          header: (name) =>
            name === 'authorization' ? `Basic ${credential}` : exchange.header(name),
          headerLines: (name) => exchange.headerLines(name),
        }
        return this.#authenticator.authenticate(shown, true, () => request.clientIp())
      },
      guard: this.#authenticator.guard(() => request.clientIp()),
      mayBeAllowed: (who, what) => this.#authorize.mayBeAllowed(who, what, request),
      bodies: this.#registry.bodies,
    }
    return this.#tokens.answer(action, request, caller)
  }

  #route(exchange: Exchange): Action {
    const { method, path, query } = exchange
    if (method === 'GET') return this.#getRoutes.route(path, query)
    if (method === 'HEAD') return this.#headRoutes.route(path, query)
    return route(exchange)
  }

  #later(request: ObservedRequest, reply: Promise<Reply>, refuse: (error: unknown) => Reply): void {
    request.waits()
    request.exchange.detach()
    this.#waiting += 1
    reply
      .finally(() => {
        this.#waiting -= 1
      })
      .catch(refuse)
      .then((settled) => this.#send(request, settled))
      .catch((error: unknown) => {
        request.lost()
        this.#log.error({ err: error }, 'reply failed')
      })
  }

  #send(request: ObservedRequest, reply: Reply): void {
    const { exchange } = request
    exchange.send(request.answered(exchange.method === 'HEAD' ? withoutBody(reply) : reply))
    request.sent()
  }
}

/** The reply to HEAD: what GET would have answered, less its body. */
function withoutBody(reply: Reply): Reply {
  if (reply.kind !== 'whole' && reply.kind !== 'stream') return reply
  const { status, headers } = reply
  if (reply.kind === 'whole')
    return { kind: 'head', status, headers, length: reply.body?.length ?? 0 }
  reply.source.close()
  return { kind: 'head', status, headers, length: reply.source.length }
}

function decisionIdOf({ detail }: OciError): string {
  if (typeof detail !== 'object' || detail === null || !('decisionId' in detail)) return ''
  return typeof detail.decisionId === 'string' ? detail.decisionId : ''
}
