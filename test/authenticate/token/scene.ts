// What the tests of tokens start from: keys, a state that is written by hand, contents of tokens.
import assert from 'node:assert/strict'
import { createHash, createPrivateKey, type KeyObject, verify } from 'node:crypto'
import type { BasicUser } from '../../../src/authenticate/basic.ts'
import { claimsOf, type TokenContents } from '../../../src/authenticate/token/claims.ts'
import {
  RegistryTokenRefusal,
  type RegistryTokens,
  type TokenKey,
  type TokenProblem,
  type TokenSnapshot,
  type TokenState,
} from '../../../src/authenticate/token/contract.ts'
import { createUserDirectory } from '../../../src/authenticate/token/directory.ts'
import { publicKeyOf, signToken } from '../../../src/authenticate/token/jwt.ts'
import {
  createRegistryTokens,
  type VerifyTokenSignature,
} from '../../../src/authenticate/token/registry-tokens.ts'
import type { ClientCertificate } from '../../../src/http/client-certificate.ts'
import { OciError } from '../../../src/oci/error.ts'
import { parseScope, type Scope } from '../../../src/oci/scope.ts'

export const nowMs = 1_700_000_000_000
export const nowSeconds: number = nowMs / 1000
export const service = 'registry.example.com'
export const tokenId = '0f8fad5b-d9cb-469f-a165-70867728950e'

export const user: BasicUser = {
  id: 'build',
  username: 'ci',
  passwordHash: 'hash of secret',
  groups: ['builders'],
  expiresAtMs: undefined,
}

export const certificate: ClientCertificate = {
  commonNames: ['agent-1'],
  organizations: ['Infrastructure'],
  sans: { dns: [], uri: [], email: [] },
  serial: '01',
  fingerprintSha256: 'ab'.repeat(32),
  notAfterMs: 9e12,
}

/** The same key each time for the same number: tests that fail do so again. */
export function privateKey(number: number): KeyObject {
  const d = createHash('sha256').update(`key ${number}`).digest()
  // SEC 1 without the public part, which OpenSSL derives. Source: RFC 5915 §3.
  const der = Buffer.concat([
    Buffer.from('30310201010420', 'hex'),
    d,
    Buffer.from('a00a06082a8648ce3d030107', 'hex'),
  ])
  return createPrivateKey({ key: der, format: 'der', type: 'sec1' })
}

export const signingKey: KeyObject = privateKey(1)
export const verifyKey: TokenKey = publicKeyOf(signingKey)

export const emptySnapshot: TokenSnapshot = {
  revision: 7,
  origin: 'here',
  apiKeys: new Map(),
  apiKeysById: new Map(),
  revokedTokens: new Set(),
  revokedUsers: new Map(),
  keys: new Map([[verifyKey.kid, verifyKey]]),
}

/** A state that changes when the test says so, or when it is asked to look again. */
export class HandState implements TokenState {
  current: TokenSnapshot
  refreshes = 0
  /** What the next refresh finds. */
  next: TokenSnapshot | undefined

  constructor(parts: Partial<TokenSnapshot> = {}) {
    this.current = { ...emptySnapshot, ...parts }
  }

  async refresh(): Promise<void> {
    this.refreshes += 1
    this.current = this.next ?? this.current
  }
}

/** As the worker does it, in this thread. */
export const verifySignature: VerifyTokenSignature = async ({ token, jwk }) => {
  const end = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  const key = { key: jwk, format: 'jwk' as const, dsaEncoding: 'ieee-p1363' as const }
  return verify('sha256', Buffer.from(token.slice(0, end)), key, signature)
}

export interface Scene {
  readonly tokens: RegistryTokens
  readonly state: HandState
  /** Milliseconds since the epoch. */
  now: number
}

export interface SceneOptions {
  readonly state?: HandState
  readonly users?: readonly BasicUser[]
  readonly providers?: readonly string[]
  readonly service?: string | undefined
}

export function newScene(options: SceneOptions = {}): Scene {
  const state = options.state ?? new HandState()
  let now = nowMs
  return {
    state,
    get now() {
      return now
    },
    set now(ms) {
      now = ms
    },
    tokens: createRegistryTokens({
      service: 'service' in options ? options.service : service,
      state,
      directory: createUserDirectory(
        options.users ?? [user],
        new Set(options.providers ?? ['gitlab']),
      ),
      verifySignature,
      now: () => now,
    }),
  }
}

export const userVersion: string =
  createUserDirectory([user], new Set()).find(user.username)?.version ?? ''

export function contents(parts: Partial<TokenContents> = {}): TokenContents {
  return {
    service,
    tokenId,
    issuedAt: nowSeconds,
    expiresAt: nowSeconds + 300,
    scopes: [],
    bearer: { kind: 'user', username: 'ci', version: userVersion },
    revision: 7,
    origin: 'here',
    certificateSha256: undefined,
    ...parts,
  }
}

export function token(parts: Partial<TokenContents> = {}, key: KeyObject = signingKey): string {
  return signToken(claimsOf(contents(parts)), publicKeyOf(key).kid, key)
}

export function scope(text: string): Scope {
  const parsed = parseScope(text, 'patterns')
  assert.ok(parsed, text)
  return parsed
}

/** The problem that it is refused with, or undefined. */
export async function refusedFor(
  text: string,
  options: SceneOptions = {},
): Promise<TokenProblem | undefined> {
  return problemOf(newScene(options), text)
}

export async function problemOf(
  scene: Scene,
  text: string,
  username?: string,
): Promise<TokenProblem | undefined> {
  try {
    const verified = await scene.tokens.verify(text, username)
    return scene.tokens.problem(verified, undefined)
  } catch (error) {
    assert.ok(error instanceof OciError && error.status === 401, String(error))
    assert.ok(error.cause instanceof RegistryTokenRefusal)
    return error.cause.problem
  }
}
