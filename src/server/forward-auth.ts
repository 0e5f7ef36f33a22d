// Decides about requests to another registry behind the same proxy: nginx `auth_request`, Traefik's
// forwardAuth, Envoy's ext_authz.

import type { Credentials } from '../authenticate/authenticate.ts'
import type { Identity } from '../authenticate/identity.ts'
import { scopeAllows, scopeRefusal } from '../authenticate/token/scope.ts'
import type { Authorize } from '../authorize/authorize.ts'
import type { Asked } from '../authorize/guard.ts'
import type { ForwardAuthConfig } from '../config/schema.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import { createNetworks, type Networks } from '../http/networks.ts'
import type { Reply } from '../http/reply.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import { RouteMemo } from '../route/memo.ts'
import { type RouteRequest, route } from '../route/route.ts'
import { originalAction, refusedOriginal } from './original-request.ts'
import type { Exchange } from './transport/exchange.ts'

export interface ForwardAuthOptions {
  readonly config: ForwardAuthConfig
  readonly authorize: Authorize
  /** The client's address, seen through trusted proxies. */
  readonly clientAddress: (exchange: Exchange) => string
}

/** The request that the proxy holds back, and what it is to the policies. */
export interface Original {
  readonly action: Action
  readonly asked: Asked
}

/** One per runtime. */
export class ForwardAuth {
  readonly #options: ForwardAuthOptions
  readonly #proxies: Networks
  // One object for one target, beside which decisions are remembered.
  readonly #getRoutes = new RouteMemo('GET')
  readonly #headRoutes = new RouteMemo('HEAD')

  constructor(options: ForwardAuthOptions) {
    this.#options = options
    this.#proxies = createNetworks(options.config.proxies)
  }

  /** Whether this is a proxy that asks; for anybody else the path does not exist. */
  isAsked({ path, remoteAddress }: Exchange): boolean {
    const own = this.#options.config.path
    if (path !== own && !path.startsWith(`${own}/`)) return false
    return this.#proxies.has(remoteAddress)
  }

  /**
   * The original request, as the proxy tells it: by the two headers, or where the path goes on, by that
   * path and the method of this very request.
   * Errors: OciError DENIED (403).
   */
  original(exchange: Exchange): Original {
    const { method, path, query } = this.#target(exchange)
    const contentTypes = exchange.headerLines('content-type')
    const action = originalAction({ method, path, query, contentTypes }, (request) =>
      this.#route(request),
    )
    const { clientAddress } = this.#options
    const asked: Asked = {
      ...{ method, path, query, isSecure: exchange.isSecure },
      header: (name) => exchange.header(name),
      clientIp: () => clientAddress(exchange),
    }
    return { action, asked }
  }

  /**
   * What the client of the proxy shows: its headers alone, since the connection's certificate and
   * address are those of the proxy, and prove nothing of its client.
   */
  credentials(exchange: Exchange): Credentials {
    return {
      ...{ certificate: undefined, remoteAddress: '' },
      header: (name) => exchange.header(name),
      headerLines: (name) => exchange.headerLines(name),
    }
  }

  /** Errors: OciError UNAUTHORIZED (401), DENIED (403), UNAVAILABLE (503). */
  async answer(identity: Identity, { action, asked }: Original): Promise<Reply> {
    const { authorize } = this.#options
    if (!scopeAllows(identity.scopes, action)) throw scopeRefusal(identity, action)
    await authorize(identity, action, asked)
    // The other registry does not ask whether the source of a mount may be read.
    if (action.kind === 'mount-blob' && action.from !== undefined) {
      const read = { method: 'GET', path: `/v2/${action.from}/blobs/${action.digest}`, query: '' }
      const source = this.#route(read)
      if (!scopeAllows(identity.scopes, source)) throw scopeRefusal(identity, source)
      await authorize(identity, source, {
        ...{ ...read, isSecure: asked.isSecure },
        header: (name) => asked.header(name),
        clientIp: () => asked.clientIp(),
      })
    }
    return this.#allowed(identity)
  }

  #target(exchange: Exchange): { method: string; path: string; query: string } {
    const { path: own, methodHeader, uriHeader } = this.#options.config
    if (exchange.path !== own) {
      const { method, path, query } = exchange
      return { method, path: path.slice(own.length), query }
    }
    const method = onlyLine(exchange, methodHeader)
    const uri = onlyLine(exchange, uriHeader)
    const [path = '', ...rest] = uri.split('?')
    return { method, path, query: rest.join('?') }
  }

  #route(request: RouteRequest): Action {
    const { method, path, query } = request
    if (method === 'GET') return this.#getRoutes.route(path, query)
    if (method === 'HEAD') return this.#headRoutes.route(path, query)
    return route(request)
  }

  #allowed({ username, groups }: Identity): Reply {
    const { userHeader, groupsHeader } = this.#options.config
    const headers: HeaderPair[] = [
      // Always there, so that a proxy which copies them overwrites what the client sent.
      [userHeader, headerText(username ?? '')],
      [groupsHeader, groups.map(headerText).join(',')],
      ['X-Auth-Decision', 'allow'],
      notStored,
    ]
    return { kind: 'whole', status: 200, headers: new HeaderBlock(headers), body: undefined }
  }
}

/**
 * A refusal with what proxies need in headers, since most drop its body: the decision, and the id under
 * which an operator finds the reasons.
 */
export function forwardRefusal(error: OciError): OciError {
  const { code, status, message, detail, cause, closeConnection } = error
  const id = isTraced(detail) ? [['X-Auth-Decision-Id', detail.decisionId] as const] : []
  const headers = [...error.headers, ['X-Auth-Decision', 'deny'] as const, ...id, notStored]
  return new OciError(code, { status, message, detail, cause, closeConnection, headers })
}

const notStored: HeaderPair = ['Cache-Control', 'no-store']

function isTraced(detail: unknown): detail is { readonly decisionId: string } {
  if (typeof detail !== 'object' || detail === null || !('decisionId' in detail)) return false
  return typeof detail.decisionId === 'string'
}

function onlyLine(exchange: Exchange, name: string): string {
  const lines = exchange.headerLines(name.toLowerCase())
  const [line] = lines
  if (line !== undefined && lines.length === 1 && line !== '') return line
  throw refusedOriginal(`expected one header ${name} that tells the original request`)
}

// A name can be anything that a provider lets through; a comma would make two groups of one.
function headerText(text: string): string {
  return text.replace(/[^\x21-\x7e]+|[,%"\\]/g, (found) =>
    [...Buffer.from(found)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  )
}
