// What an operator does with API keys and tokens: make, list, revoke. By the admin interface alone.

import type { UserDirectory } from '../../authenticate/token/contract.ts'
import {
  makeSecret,
  readSecret,
  secretBytes,
  secretId,
} from '../../authenticate/token/secret-text.ts'
import { parseScope, scopesMax, scopeText } from '../../oci/scope.ts'
import type {
  StoredApiKey,
  StoredRefreshToken,
  TokenStore,
} from '../../storage/metadata/token-store.ts'
import type { TokenAdminEvent } from './audit.ts'
import { type TokenKeeper, tokensOutlivedMs } from './state.ts'

/** `status` as HTTP has it; the body is JSON, with `error` where the call was refused. */
export interface AdminAnswer {
  readonly status: 200 | 400 | 404 | 409
  readonly body: object
}

export interface TokenAdminOptions {
  readonly store: TokenStore
  readonly keeper: Pick<TokenKeeper, 'reload' | 'refresh' | 'stored'>
  readonly directory: UserDirectory
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  readonly randomBytes: (size: number) => Uint8Array
  /** Every call, whatever it came to. */
  readonly onCall: (event: TokenAdminEvent) => void
}

interface CreateInput {
  readonly name: string
  readonly scopes: readonly string[]
  readonly ttlMs: number
  readonly username: string | undefined
}

const apiKeysMax = 10_000
const revokedTokensMax = 100_000
const ttlMinMs = 60_000
const ttlMaxMs = 10 * 365 * 24 * 60 * 60_000
const nameForm = /^[a-z0-9][a-z0-9._-]{0,63}$/
const idForm = /^[0-9a-f]{16}$/
const tokenIdForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const usernameLengthMax = 512

/** Inputs are JSON from outside. Errors: StorageError; refusals are answers. */
export class TokenAdmin {
  readonly #options: TokenAdminOptions

  constructor(options: TokenAdminOptions) {
    this.#options = options
  }

  /** `{ name, scopes: […], ttlMs, username? }` → the key's text, which is never shown again. */
  async create(input: unknown): Promise<AdminAnswer> {
    const read = this.#readCreate(input)
    if (typeof read === 'string') return this.#refuse('create', 400, read)
    const { name, ttlMs, username } = read
    const scopes = read.scopes.flatMap((text) => {
      const scope = parseScope(text, 'patterns')
      return scope === undefined ? [] : [scopeText(scope)]
    })
    const { store, keeper, now, randomBytes } = this.#options
    const text = makeSecret('api-key', randomBytes(secretBytes))
    const secretSha256 = readSecret(text)?.sha256 ?? ''
    const createdAtMs = now()
    const key: StoredApiKey = {
      ...{ id: secretId(secretSha256), name, secretSha256, scopes },
      ...(username === undefined ? {} : { username }),
      ...{ createdAtMs, expiresAtMs: createdAtMs + ttlMs },
    }
    const result = await store.createApiKey(key, apiKeysMax)
    if (result === 'name-taken') {
      return this.#refuse('create', 409, `there is an API key with the name ${name}`)
    }
    if (result === 'full') {
      return this.#refuse('create', 409, `there are ${apiKeysMax} API keys, which is the most`)
    }
    await keeper.reload()
    this.#tell('create', { subject: key.id, username: username ?? null, scopes })
    return { status: 200, body: { ...shownKey(key, createdAtMs), key: text } }
  }

  async list(): Promise<AdminAnswer> {
    const { store, keeper, now } = this.#options
    await keeper.refresh()
    const nowMs = now()
    const apiKeys = keeper.stored.apiKeys
      .toSorted((a, b) => a.createdAtMs - b.createdAtMs)
      .map((key) => shownKey(key, nowMs))
    const kept = (await store.listRefreshTokens()).filter(({ expiresAtMs }) => expiresAtMs > nowMs)
    const refreshTokens = kept.map(shownRefreshToken)
    this.#tell('list', {})
    return { status: 200, body: { apiKeys, refreshTokens } }
  }

  /** `{ id }` of an API key, a refresh token or a token (its `jti`); or `{ username }`. */
  async revoke(input: unknown): Promise<AdminAnswer> {
    const { id, username, ...others } = isObject(input) ? input : { odd: input }
    const isOne = (id === undefined) !== (username === undefined)
    if (!isOne || Object.keys(others).length > 0) {
      return this.#refuse('revoke', 400, 'expected either id or username')
    }
    const answer = id === undefined ? await this.#revokeUser(username) : await this.#revokeId(id)
    await this.#options.keeper.reload()
    return answer
  }

  async #revokeUser(username: unknown): Promise<AdminAnswer> {
    const isName = typeof username === 'string' && username !== ''
    if (!isName || username.length > usernameLengthMax) {
      return this.#refuse('revoke', 400, 'expected the name of a user')
    }
    const { store, now } = this.#options
    const revoked = await store.revokeUser(username, now(), now() + tokensOutlivedMs)
    this.#tell('revoke', { username })
    return { status: 200, body: { revoked: 'user', username, ...revoked } }
  }

  async #revokeId(id: unknown): Promise<AdminAnswer> {
    const { store, now } = this.#options
    if (typeof id === 'string' && idForm.test(id)) {
      const isKey = await store.revokeApiKey(id, now())
      if (isKey || (await store.removeRefreshToken(id))) {
        this.#tell('revoke', { subject: id })
        return { status: 200, body: { revoked: isKey ? 'api-key' : 'refresh-token', id } }
      }
      return this.#refuse('revoke', 404, `there is no API key or refresh token ${id} to revoke`)
    }
    if (typeof id !== 'string' || !tokenIdForm.test(id)) {
      return this.#refuse('revoke', 400, 'expected the id of an API key or of a token')
    }
    // Nobody knows which tokens there are, so one that never was can be revoked as well.
    const end = now() + tokensOutlivedMs
    const result = await store.revokeToken(id, now(), end, revokedTokensMax)
    if (result === 'full') {
      return this.#refuse('revoke', 409, `${revokedTokensMax} tokens are revoked: revoke the user`)
    }
    this.#tell('revoke', { subject: id })
    return { status: 200, body: { revoked: 'token', id } }
  }

  #readCreate(input: unknown): CreateInput | string {
    if (!isObject(input)) return 'expected an object'
    const { name, scopes, ttlMs, username, ...others } = input
    const [surplus] = Object.keys(others)
    if (surplus !== undefined) return `there is no ${surplus}`
    if (typeof name !== 'string' || !nameForm.test(name)) {
      return 'name: expected up to 64 of a-z, 0-9, dot, dash and underscore'
    }
    if (!isTexts(scopes) || scopes.length === 0 || scopes.length > scopesMax) {
      return `scopes: expected between 1 and ${scopesMax}`
    }
    const unfit = scopes.find((text) => !isWholeScope(text))
    if (unfit !== undefined) {
      return `scopes: '${unfit.slice(0, 200)}' is not repository:<name>:<actions> or registry:catalog:*, with pull, push and delete as actions`
    }
    const isTtl = typeof ttlMs === 'number' && Number.isSafeInteger(ttlMs)
    if (!isTtl || ttlMs < ttlMinMs || ttlMs > ttlMaxMs) {
      return 'ttlMs: expected between one minute and ten years'
    }
    if (username === undefined) return { name, scopes, ttlMs, username }
    const isKnown =
      typeof username === 'string' && this.#options.directory.find(username) !== undefined
    if (!isKnown) return 'username: the configuration has no such user'
    return { name, scopes, ttlMs, username }
  }

  #refuse(call: TokenAdminEvent['call'], status: 400 | 404 | 409, error: string): AdminAnswer {
    this.#tell(call, { result: 'refused', reason: error })
    return { status, body: { error } }
  }

  #tell(call: TokenAdminEvent['call'], parts: Partial<TokenAdminEvent>): void {
    const none = {
      result: 'done',
      subject: null,
      username: null,
      scopes: [],
      reason: null,
    } as const
    this.#options.onCall({ ...none, call, ...parts })
  }
}

// An action that is misspelt must not be dropped without a word.
function isWholeScope(text: string): boolean {
  const actions = text.slice(text.lastIndexOf(':') + 1).split(',')
  const isKnown = actions.every((action) => ['pull', 'push', 'delete', '*'].includes(action))
  return isKnown && parseScope(text, 'patterns') !== undefined
}

function shownKey(key: StoredApiKey, nowMs: number): object {
  const { id, name, username, scopes, createdAtMs, expiresAtMs, revokedAtMs } = key
  const state = revokedAtMs !== undefined ? 'revoked' : expiresAtMs <= nowMs ? 'ended' : 'good'
  return {
    ...{ id, name, username: username ?? null, scopes, state },
    createdAt: new Date(createdAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    revokedAt: revokedAtMs === undefined ? null : new Date(revokedAtMs).toISOString(),
  }
}

function shownRefreshToken(token: StoredRefreshToken): object {
  const { id, username, createdAtMs, expiresAtMs } = token
  return {
    ...{ id, username },
    createdAt: new Date(createdAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> & {
  readonly [name in keyof CreateInput | 'id']?: unknown
} {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
