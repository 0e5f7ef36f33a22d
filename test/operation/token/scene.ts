// What the tests of the token service start from: a store in memory, a clock by hand, a service.
import type { SecretGuard } from '../../../src/authenticate/authenticate.ts'
import type { BasicUser } from '../../../src/authenticate/basic.ts'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import type { RegistryTokens } from '../../../src/authenticate/token/contract.ts'
import { createUserDirectory } from '../../../src/authenticate/token/directory.ts'
import { createRegistryTokens } from '../../../src/authenticate/token/registry-tokens.ts'
import type { BodySink } from '../../../src/http/body.ts'
import { OciError } from '../../../src/oci/error.ts'
import { BodyRoom } from '../../../src/operation/body-room.ts'
import type { OperationRequest } from '../../../src/operation/registry.ts'
import { TokenAdmin } from '../../../src/operation/token/admin.ts'
import type { TokenAdminEvent, TokenEvent } from '../../../src/operation/token/audit.ts'
import type { MayBeAllowed } from '../../../src/operation/token/grants.ts'
import { RefreshTokens } from '../../../src/operation/token/refresh-tokens.ts'
import { TokenKeeper } from '../../../src/operation/token/state.ts'
import { TokenService } from '../../../src/operation/token/token-service.ts'
import { route } from '../../../src/route/route.ts'
import { MemoryMetadataStore } from '../../../src/storage/metadata/memory/store.ts'
import { verifySignature } from '../../authenticate/token/scene.ts'

export const nowMs = 1_700_000_000_000
export const day: number = 24 * 60 * 60_000

export const ci: BasicUser = {
  id: 'build',
  username: 'ci',
  passwordHash: 'hash of secret',
  groups: ['builders'],
  expiresAtMs: undefined,
}

/** Somebody who has logged in with a password. */
export const ciIdentity: Identity = {
  ...anonymous,
  id: 'build',
  username: 'ci',
  groups: ['builders'],
  authMethod: 'basic',
}

export interface TokenAnswer {
  readonly token: string
  readonly access_token: string
  readonly expires_in: number
  readonly issued_at: string
  readonly scope: string
  readonly refresh_token?: string
}

export interface SceneOptions {
  readonly store?: MemoryMetadataStore
  readonly users?: readonly BasicUser[]
  readonly ttlMs?: number
  readonly shared?: boolean
  readonly keyRotationMs?: number
  /** Undefined: no token service. */
  readonly service?: string | undefined
}

export class Scene {
  now: number = nowMs
  elapsed: number = 1_000_000
  readonly store: MemoryMetadataStore
  readonly events: TokenEvent[] = []
  readonly calls: TokenAdminEvent[] = []
  readonly faults: unknown[]
  readonly keeper: TokenKeeper
  readonly service: TokenService
  readonly admin: TokenAdmin
  readonly tokens: RegistryTokens
  readonly bodies: BodyRoom = new BodyRoom(1 << 20, 64 << 10)
  mayBeAllowed: MayBeAllowed = () => true
  guard: SecretGuard = {
    admit: () => undefined,
    failed: () => undefined,
    succeeded: () => undefined,
  }
  #uuids = 0
  #randoms = 0

  static async open(options: SceneOptions = {}): Promise<Scene> {
    const store = options.store ?? new MemoryMetadataStore()
    const clock: { scene?: Scene } = {}
    const name = 'service' in options ? options.service : 'registry.example.com'
    const keyRotationMs = options.keyRotationMs ?? 30 * day
    const faults: unknown[] = []
    const keeper = await TokenKeeper.open({
      ...{ store, privateKeys: [], shared: options.shared ?? false },
      service: name === undefined ? undefined : { keyRotationMs },
      now: () => clock.scene?.now ?? nowMs,
      elapsed: () => clock.scene?.elapsed ?? 1_000_000,
      onFault: (_what, error) => faults.push(error),
    })
    const scene = new Scene(store, keeper, options, name, faults)
    clock.scene = scene
    return scene
  }

  private constructor(
    store: MemoryMetadataStore,
    keeper: TokenKeeper,
    options: SceneOptions,
    name: string | undefined,
    faults: unknown[],
  ) {
    this.store = store
    this.keeper = keeper
    this.faults = faults
    const directory = createUserDirectory(options.users ?? [ci], new Set(['gitlab']))
    const now = (): number => this.now
    const randomBytes = (size: number): Uint8Array => {
      this.#randoms += 1
      return new Uint8Array(size).fill(this.#randoms)
    }
    this.admin = new TokenAdmin({
      ...{ store, keeper, directory, now, randomBytes },
      onCall: (event) => this.calls.push(event),
    })
    this.service = new TokenService({
      ...{ keeper, directory, now },
      config: { service: name ?? '', ttlMs: options.ttlMs ?? 300_000 },
      refreshTokens: new RefreshTokens({
        ...{ ttlMs: 30 * day, store, directory, now, randomBytes, refresh: () => {} },
      }),
      randomUuid: () => {
        this.#uuids += 1
        return `00000000-0000-4000-8000-${String(this.#uuids).padStart(12, '0')}`
      },
      onEvent: (event) => this.events.push(event),
    })
    this.tokens = createRegistryTokens({
      ...{ service: name, state: keeper, directory, verifySignature, now },
    })
  }

  get(query: string, identity: Identity = anonymous): Promise<TokenAnswer> {
    return this.#ask('GET', query, '', identity)
  }

  post(
    form: Readonly<Record<string, string>> | string,
    identity: Identity = anonymous,
    type = 'application/x-www-form-urlencoded',
  ): Promise<TokenAnswer> {
    const body = typeof form === 'string' ? form : new URLSearchParams(form).toString()
    return this.#ask('POST', '', body, identity, type)
  }

  async #ask(
    method: string,
    query: string,
    body: string,
    identity: Identity,
    type = '',
  ): Promise<TokenAnswer> {
    const action = route({ method, path: '/token', query })
    if (action.kind !== 'get-token') throw new Error('expected get-token')
    const request: OperationRequest = {
      provenClientIp: () => undefined,
      path: '/token',
      header: (name) => (name === 'content-type' ? type : ''),
      body: bodyOf(Buffer.from(body)),
    }
    const reply = await this.service.answer(action, request, {
      identity,
      bodies: this.bodies,
      login: (username, password) => {
        if (username === 'ci' && password === 'secret') return { ...ciIdentity }
        throw new OciError('UNAUTHORIZED')
      },
      guard: this.guard,
      mayBeAllowed: (who, what) => this.mayBeAllowed(who, what),
    })
    if (reply.kind !== 'whole' || reply.status !== 200) throw new Error('expected 200')
    return JSON.parse(Buffer.from(reply.body ?? []).toString()) as TokenAnswer
  }
}

function bodyOf(bytes: Uint8Array): OperationRequest['body'] {
  return {
    length: undefined,
    consume: (sink: BodySink) => {
      const half = bytes.length >> 1
      sink.onChunk(bytes.subarray(0, half), false)
      sink.onChunk(bytes.subarray(half), true)
    },
    pause: () => {},
    resume: () => {},
  }
}

/** The claims of a token, unverified. */
export function claims(token: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >
}
