// GET and POST /token, and the keys that verify what they issue.

import type { SecretGuard } from '../../authenticate/authenticate.ts'
import type { Identity } from '../../authenticate/identity.ts'
import { claimsOf, type TokenBearer } from '../../authenticate/token/claims.ts'
import type { TokenServiceConfig, UserDirectory } from '../../authenticate/token/contract.ts'
import { signToken, tokenAlgorithm, tokenLengthMax } from '../../authenticate/token/jwt.ts'
import { apiVersion } from '../../http/error-reply.ts'
import { HeaderBlock } from '../../http/header-block.ts'
import type { Reply } from '../../http/reply.ts'
import { OciError } from '../../oci/error.ts'
import { type Scope, scopeText } from '../../oci/scope.ts'
import type { Action, TokenQuery } from '../../route/action.ts'
import type { MaybePromise } from '../../storage/metadata/contract.ts'
import type { BodyRoom } from '../body-room.ts'
import type { OperationRequest } from '../registry.ts'
import type { TokenEvent } from './audit.ts'
import { readTokenForm } from './form.ts'
import { grantedScopes, type MayBeAllowed } from './grants.ts'
import type { RefreshToken, RefreshTokens } from './refresh-tokens.ts'
import type { TokenKeeper } from './state.ts'

type GetToken = Extract<Action, { kind: 'get-token' }>

/** Who asks for a token, and what the other stages know of that. */
export interface TokenCaller {
  /** By the request's headers and certificate; anonymous where it shows nothing. */
  readonly identity: Identity
  /** By a password in the body, with the same certificate. Errors: OciError UNAUTHORIZED (401) and others. */
  login(username: string, password: string): Identity | Promise<Identity>
  /** Counts refresh tokens that are wrong, by the caller's address. */
  readonly guard: SecretGuard
  readonly mayBeAllowed: MayBeAllowed
  /** Where forms are taken. */
  readonly bodies: BodyRoom
}

export interface TokenServiceOptions {
  readonly config: Pick<TokenServiceConfig, 'service' | 'ttlMs'>
  readonly keeper: Pick<TokenKeeper, 'current' | 'signing'>
  readonly refreshTokens: RefreshTokens
  readonly directory: UserDirectory
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  readonly randomUuid: () => string
  readonly onEvent: (event: TokenEvent) => void
}

/** One request for a token, from the moment that the identity behind it is known. */
interface Request {
  readonly grant: TokenEvent['grant']
  readonly query: TokenQuery
  readonly identity: Identity
  readonly mayBeAllowed: MayBeAllowed
  /** The one that it was made with. */
  readonly refreshToken?: RefreshToken
}

// Clients take a token for good for so long, whatever they are told.
const ttlMinSeconds = 60

const encoder = new TextEncoder()
const json = ['Content-Type', 'application/json'] as const
// Source: RFC 6749 §5.1.
const tokenHeaders = new HeaderBlock([json, ['Cache-Control', 'no-store'], apiVersion])
const keysHeaders = new HeaderBlock([json, ['Cache-Control', 'public, max-age=300'], apiVersion])

/** Source: distribution docs/content/spec/auth/token.md and oauth.md. */
export class TokenService {
  readonly #options: TokenServiceOptions

  constructor(options: TokenServiceOptions) {
    this.#options = options
  }

  /**
   * The scopes are those asked for that the policies would allow, perhaps none.
   * Errors: OciError UNAUTHORIZED (401), REQUEST_INVALID, CONTENT_TOO_LARGE, UNAVAILABLE; StorageError.
   */
  answer(action: GetToken, request: OperationRequest, caller: TokenCaller): MaybePromise<Reply> {
    switch (action.of) {
      case 'keys':
        return this.#keys()
      case 'query':
        return this.#issue({ ...caller, grant: 'query', query: action.query })
      case 'form':
        return this.#answerForm(request, caller)
    }
  }

  async #answerForm(request: OperationRequest, caller: TokenCaller): Promise<Reply> {
    const form = await readTokenForm(request, caller.bodies)
    const { grant, query } = form
    const { guard, mayBeAllowed } = caller
    // Source: RFC 6749 §2.3: one way to authenticate in one request.
    const { authMethod: method, certificate } = caller.identity
    if (method !== 'anonymous' && method !== 'mtls') {
      const message = 'log in by the form or by the header, not by both'
      throw new OciError('REQUEST_INVALID', { message })
    }
    if (grant === 'password') {
      const identity = await caller.login(form.username, form.password)
      return this.#issue({ grant, query, identity, mayBeAllowed })
    }
    guard.admit(form.refreshToken)
    const renewal = await this.#options.refreshTokens.use(form.refreshToken)
    if (renewal.problem !== undefined) {
      guard.failed(form.refreshToken)
      const { problem: reason, id: refreshId, username } = renewal
      this.#tell({ ...{ result: 'refused', grant, method, refreshId, username, reason } }, query)
      throw unauthorized('the refresh token is not valid')
    }
    guard.succeeded(form.refreshToken)
    const { user, token: refreshToken } = renewal
    const { id, username, groups } = user
    const identity: Identity = {
      ...{ id, username, groups, certificate, oidc: null },
      ...{ authMethod: 'basic', scopes: null, tokenId: null },
    }
    return this.#issue({ grant, query, identity, mayBeAllowed, refreshToken })
  }

  #keys(): Reply {
    const keys = [...this.#options.keeper.current.keys.values()].map(({ kid, jwk }) => {
      return { ...jwk, kid, use: 'sig', alg: tokenAlgorithm }
    })
    return whole(keysHeaders, { keys })
  }

  #issue(request: Request): MaybePromise<Reply> {
    const { query, refreshToken } = request
    const bearer = this.#bearerOf(request.identity)
    const isKept = refreshToken === undefined && query.offline && bearer.kind === 'user'
    const user = isKept ? this.#options.directory.find(bearer.username) : undefined
    if (user === undefined) return this.#answer(request, bearer, refreshToken)
    const { refreshTokens } = this.#options
    return refreshTokens.make(user).then((made) => this.#answer(request, bearer, made))
  }

  #answer(request: Request, bearer: TokenBearer, refreshToken: RefreshToken | undefined): Reply {
    const { grant, query, identity, mayBeAllowed } = request
    const scopes = grantedScopes(query.scopes, identity, mayBeAllowed)
    const { text, tokenId, issuedAt, expiresAt } = this.#sign(identity, bearer, scopes)
    const { id, username, authMethod: method } = identity
    const texts = scopes.map(scopeText)
    const refreshId = refreshToken?.id ?? null
    const told = { tokenId, method, id, username, scopes: texts, refreshId }
    this.#tell({ result: 'issued', grant, ...told }, query)
    return whole(tokenHeaders, {
      token: text,
      access_token: text,
      token_type: 'Bearer',
      expires_in: expiresAt - issuedAt,
      issued_at: new Date(issuedAt * 1000).toISOString(),
      scope: texts.join(' '),
      ...(refreshToken === undefined || !query.offline ? {} : { refresh_token: refreshToken.text }),
    })
  }

  #bearerOf(identity: Identity): TokenBearer {
    const { id, authMethod, username, groups, oidc, scopes, tokenId } = identity
    // Else a token could be renewed by itself for ever.
    const isOfToken = authMethod === 'token' || (scopes !== null && authMethod !== 'api-key')
    if (isOfToken) throw unauthorized('a token is not exchanged for another')
    if (authMethod === 'anonymous' || authMethod === 'mtls') return { kind: 'anonymous' }
    if (username === null) throw unauthorized()
    if (authMethod === 'api-key') return { kind: 'api-key', id: tokenId ?? '', username }
    if (authMethod === 'basic') {
      const user = this.#options.directory.find(username)
      if (user === undefined) throw unauthorized()
      return { kind: 'user', username, version: user.version }
    }
    if (authMethod === 'ldap') return { kind: 'ldap', id: id ?? '', username, groups }
    if (oidc === null) throw unauthorized()
    const { providerName: provider, claims } = oidc
    return { kind: 'oidc', username, groups, provider, claims }
  }

  #sign(identity: Identity, bearer: TokenBearer, scopes: readonly Scope[]): Signed {
    const { config, keeper, now, randomUuid } = this.#options
    const { signing } = keeper
    if (signing === undefined) throw new OciError('UNAVAILABLE')
    const issuedAt = Math.floor(now() / 1000)
    const latest = Math.min(issuedAt + Math.floor(config.ttlMs / 1000), this.#endOf(bearer))
    const expiresAt = Math.max(issuedAt + ttlMinSeconds, latest)
    const tokenId = randomUuid()
    const claims = claimsOf({
      ...{ service: config.service, tokenId, issuedAt, expiresAt, scopes, bearer },
      ...{ revision: keeper.current.revision, origin: keeper.current.origin },
      certificateSha256: identity.certificate?.fingerprintSha256,
    })
    const text = signToken(claims, signing.kid, signing.key)
    if (text.length > tokenLengthMax) {
      const message = 'what the identity provider says of this login does not fit into a token'
      throw new OciError('REQUEST_INVALID', { message })
    }
    return { text, tokenId, issuedAt, expiresAt }
  }

  /** When what the bearer logged in with ends, in seconds since the epoch. */
  #endOf(bearer: TokenBearer): number {
    const { directory, keeper } = this.#options
    let endMs: number | undefined
    if (bearer.kind === 'user') endMs = directory.find(bearer.username)?.expiresAtMs
    if (bearer.kind === 'api-key') endMs = keeper.current.apiKeysById.get(bearer.id)?.expiresAtMs
    return endMs === undefined ? Number.POSITIVE_INFINITY : Math.floor(endMs / 1000)
  }

  #tell(
    event: Partial<TokenEvent> & Pick<TokenEvent, 'result' | 'grant' | 'method'>,
    query: TokenQuery,
  ): void {
    this.#options.onEvent({
      ...{ tokenId: null, id: null, username: null, scopes: [], refreshId: null, reason: null },
      clientId: query.clientId ?? null,
      ...event,
    })
  }
}

interface Signed {
  readonly text: string
  readonly tokenId: string
  /** Both in seconds since the epoch. */
  readonly issuedAt: number
  readonly expiresAt: number
}

function whole(headers: HeaderBlock, body: object): Reply {
  return { kind: 'whole', status: 200, headers, body: encoder.encode(JSON.stringify(body)) }
}

function unauthorized(message?: string): OciError {
  return new OciError('UNAUTHORIZED', message === undefined ? {} : { message })
}
