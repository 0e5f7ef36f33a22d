// Keeps the snapshot of credentials that authentication reads in step with the store, and the key that
// signs.

import {
  createPrivateKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomUUID,
} from 'node:crypto'
import {
  type ActiveApiKey,
  type TokenKey,
  type TokenServiceConfig,
  type TokenSnapshot,
  type TokenState,
  tokenTtlMaxMs,
  type UserRevocation,
} from '../../authenticate/token/contract.ts'
import { publicKeyOf } from '../../authenticate/token/jwt.ts'
import { parseScope } from '../../oci/scope.ts'
import { StorageError } from '../../storage/error.ts'
import type { MetadataStore } from '../../storage/metadata/contract.ts'
import type {
  StoredApiKey,
  StoredSigningKey,
  StoredTokenState,
  TokenStore,
} from '../../storage/metadata/token-store.ts'

export interface SigningKey extends TokenKey {
  readonly key: KeyObject
}

export interface TokenKeeperOptions {
  readonly store: TokenStore & Pick<MetadataStore, 'ensureSecret' | 'refresh'>
  /** Undefined where there is no token service: then there are API keys alone. */
  readonly service: Pick<TokenServiceConfig, 'keyRotationMs'> | undefined
  /** Those of the configuration; the first signs. Empty: generated ones, in the store. */
  readonly privateKeys: readonly { readonly path: string; readonly pem: string }[]
  /** Other processes write to the same store. */
  readonly shared: boolean
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly onFault: (what: string, error: unknown) => void
}

export interface TokenStateStatus {
  readonly revision: number
  readonly apiKeys: number
  readonly revocations: number
  readonly signingKeys: number
  /** Since the store last said that this is the state, in ms. */
  readonly ageMs: number
}

// A revocation reaches every process of the store within a second.
const pollEveryMs = 500
const tendEveryMs = 60_000
const sweepEveryMs = 60 * 60_000
// Clocks that differ by more are not believed: what is swept away cannot be brought back.
const clockJumpMaxMs = 60_000

/** How long after a moment a token may still be good that was issued before it, clocks being apart. */
export const tokensOutlivedMs: number = tokenTtlMaxMs + 60 * 60_000

const nothing: StoredTokenState = { revision: 0, apiKeys: [], revocations: [], signingKeys: [] }

export class TokenKeeper implements TokenState {
  readonly #options: TokenKeeperOptions
  readonly #fileKeys: readonly SigningKey[]
  readonly #timers: NodeJS.Timeout[] = []
  #snapshot: TokenSnapshot
  #stored: StoredTokenState = nothing
  #origin: string | undefined
  #onChange: () => void = () => {}
  #signing: SigningKey | undefined
  #seenAtMs: number
  #sweptAtMs: number
  #clockOffsetMs: number
  #isFaulty = false
  #tending: Promise<void> = Promise.resolve()

  /** Errors: StorageError; Error where a private key cannot be used. */
  static async open(options: TokenKeeperOptions): Promise<TokenKeeper> {
    const keeper = new TokenKeeper(options)
    if (options.service !== undefined) keeper.#origin = await originOf(options.store)
    await keeper.reload()
    await keeper.#ensureSigningKey()
    keeper.#begin()
    return keeper
  }

  private constructor(options: TokenKeeperOptions) {
    this.#options = options
    this.#fileKeys = options.privateKeys.map(fileKeyOf)
    this.#snapshot = snapshotOf(nothing, this.#fileKeys, undefined)
    this.#seenAtMs = options.elapsed()
    this.#sweptAtMs = options.elapsed()
    this.#clockOffsetMs = options.now() - options.elapsed()
  }

  get current(): TokenSnapshot {
    return this.#snapshot
  }

  /** Undefined where there is no token service. */
  get signing(): SigningKey | undefined {
    return this.#signing
  }

  /** As it is stored, for lists. */
  get stored(): StoredTokenState {
    return this.#stored
  }

  get status(): TokenStateStatus {
    const { revision, apiKeys, revokedTokens, revokedUsers, keys } = this.#snapshot
    return {
      revision,
      apiKeys: apiKeys.size,
      revocations: revokedTokens.size + revokedUsers.size,
      signingKeys: keys.size,
      // Alone on the store, what is in memory is what is stored.
      ageMs: this.#options.shared ? Math.max(0, this.#options.elapsed() - this.#seenAtMs) : 0,
    }
  }

  async refresh(): Promise<void> {
    const { store } = this.#options
    store.refresh()
    const revision = await store.readTokenRevision()
    if (revision === this.#snapshot.revision) this.#seenAtMs = this.#options.elapsed()
    else await this.reload()
  }

  /** Take the state from the store: after each write of this process. */
  async reload(): Promise<void> {
    const { store, now, elapsed } = this.#options
    store.refresh()
    const stored = await store.readTokenState()
    // A slower read that began earlier must not undo what a later one has seen.
    if (stored.revision < this.#snapshot.revision) return
    const usable = { ...stored, signingKeys: stored.signingKeys.filter(isUsableAt(now())) }
    const isGenerated = this.#options.service !== undefined && this.#fileKeys.length === 0
    const keys = isGenerated ? usable.signingKeys.map(storedKeyOf) : this.#fileKeys
    this.#snapshot = snapshotOf(usable, keys, this.#origin)
    this.#stored = stored
    this.#seenAtMs = elapsed()
    this.#signing = isGenerated
      ? keys[usable.signingKeys.findIndex((key) => key.verifiesUntilMs === undefined)]
      : this.#fileKeys[0]
    this.#onChange()
  }

  /** `listener` hears, from now on in place of another one, that the state was taken from the store. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await this.#tending
  }

  #begin(): void {
    if (this.#options.shared) this.#every(pollEveryMs, () => this.refresh())
    this.#every(tendEveryMs, () => this.tend())
  }

  #every(ms: number, work: () => Promise<void>): void {
    let isBusy = false
    const timer = setInterval(() => {
      if (isBusy) return
      isBusy = true
      this.#tending = work()
        .then(() => this.#recover())
        .catch((error: unknown) => this.#fail(error))
        .finally(() => {
          isBusy = false
        })
    }, ms)
    timer.unref()
    this.#timers.push(timer)
  }

  /** Rotate the key that signs where its time has come, and drop what has ended. */
  async tend(): Promise<void> {
    await this.#ensureSigningKey()
    const { store, now, elapsed } = this.#options
    if (elapsed() - this.#sweptAtMs < sweepEveryMs || !this.#isClockSteady()) return
    this.#sweptAtMs = elapsed()
    await store.sweepTokens(now())
    await this.reload()
  }

  async #ensureSigningKey(): Promise<void> {
    const { service, store, now } = this.#options
    if (service === undefined || this.#fileKeys.length > 0) return
    const signing = this.#stored.signingKeys.find((key) => key.verifiesUntilMs === undefined)
    if (signing !== undefined && now() - signing.createdAtMs < service.keyRotationMs) return
    const after = signing && { kid: signing.kid, verifiesUntilMs: now() + tokensOutlivedMs }
    // False where another process was faster: then its key is as good.
    await store.putSigningKey(generateKey(now()), after)
    await this.reload()
  }

  #isClockSteady(): boolean {
    const offset = this.#options.now() - this.#options.elapsed()
    const isSteady = Math.abs(offset - this.#clockOffsetMs) <= clockJumpMaxMs
    this.#clockOffsetMs = offset
    return isSteady
  }

  // Told once: what fails mostly goes on failing.
  #fail(error: unknown): void {
    if (!this.#isFaulty) this.#options.onFault('the state of tokens', error)
    this.#isFaulty = true
  }

  #recover(): void {
    this.#isFaulty = false
  }
}

// Other stores have secrets of their own, and nothing of one can be read from this.
async function originOf(store: TokenKeeperOptions['store']): Promise<string> {
  const secret = await store.ensureSecret(`${randomUUID()}${randomUUID()}`)
  return hash('sha256', `origin of tokens ${secret}`).slice(0, 16)
}

function snapshotOf(
  stored: StoredTokenState,
  keys: readonly TokenKey[],
  origin: string | undefined,
): TokenSnapshot {
  const revokedUsers = new Map<string, UserRevocation>()
  const revoked = { token: new Set<string>(), 'api-key': new Set<string>() }
  for (const { of, subject, revision, atMs } of stored.revocations) {
    if (of === 'user') revokedUsers.set(subject, { revision, atMs })
    else revoked[of].add(subject)
  }
  const active = stored.apiKeys.filter(
    ({ id, revokedAtMs }) => revokedAtMs === undefined && !revoked['api-key'].has(id),
  )
  const apiKeys = new Map(active.map((key) => [key.secretSha256, activeKeyOf(key)]))
  return {
    ...{ revision: stored.revision, origin },
    apiKeys,
    apiKeysById: new Map([...apiKeys.values()].map((key) => [key.id, key])),
    revokedTokens: revoked.token,
    revokedUsers,
    keys: new Map(keys.map(({ kid, jwk }) => [kid, { kid, jwk }])),
  }
}

function activeKeyOf({ id, name, username, scopes, expiresAtMs }: StoredApiKey): ActiveApiKey {
  const parsed = scopes.map((text) => {
    const scope = parseScope(text, 'patterns')
    if (scope === undefined) throw new StorageError('corrupt', `the scopes of API key ${id}`)
    return scope
  })
  return { id, name, username: username ?? null, scopes: parsed, expiresAtMs }
}

function generateKey(nowMs: number): StoredSigningKey {
  // As text, and read again: to export the very object that was made can wait for itself for ever, where
  // the collector frees the job that made it in the meantime (seen with Node 20.20: one lock for both).
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const { kid } = publicKeyOf(createPrivateKey(privateKey))
  return { kid, privateKey, createdAtMs: nowMs }
}

/** Errors: Error that names the file, and shows nothing of it. */
function fileKeyOf({ path, pem }: TokenKeeperOptions['privateKeys'][number]): SigningKey {
  try {
    return signingKeyOf(pem)
  } catch {
    throw new Error(`auth.token_service.key_files: ${path} holds no private key on P-256`)
  }
}

function storedKeyOf({ kid, privateKey }: StoredSigningKey): SigningKey {
  try {
    return signingKeyOf(privateKey)
  } catch {
    throw new StorageError('corrupt', `the signing key ${kid} cannot be read`)
  }
}

function signingKeyOf(pem: string): SigningKey {
  const key = createPrivateKey(pem)
  return { ...publicKeyOf(key), key }
}

function isUsableAt(nowMs: number): (key: StoredSigningKey) => boolean {
  return ({ verifiesUntilMs }) => verifiesUntilMs === undefined || verifiesUntilMs > nowMs
}
