// API keys, revocations, refresh tokens and signing keys, under one revision.

import type {
  Revocation,
  StoredApiKey,
  StoredRefreshToken,
  StoredRevocation,
  StoredSigningKey,
  StoredTokenState,
} from '../token-store.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import {
  apiKeyKey,
  apiKeysPrefix,
  below,
  lastPart,
  ownedRefreshTokenKey,
  ownedRefreshTokensPrefix,
  present,
  refreshTokenKey,
  refreshTokensFrom,
  refreshTokensPrefix,
  revocationKey,
  revocationsPrefix,
  signingKeyKey,
  signingKeysPrefix,
  tokenRevisionKey,
} from './keys.ts'
import {
  decodeApiKey,
  decodeRefreshToken,
  decodeRevision,
  decodeRevocation,
  decodeSigningKey,
  encodeToken,
} from './token-encoding.ts'

// How long an API key that has ended is still listed, so that it can be told why a job stopped.
const endedKeysListedMs = 30 * 24 * 60 * 60_000

export function readRevision(reader: KeyValueReader): number {
  return decodeRevision(reader.get(tokenRevisionKey), tokenRevisionKey)
}

export function readState(reader: KeyValueReader): StoredTokenState {
  return {
    revision: readRevision(reader),
    apiKeys: readApiKeys(reader),
    revocations: (['token', 'user', 'api-key'] as const).flatMap((of) =>
      readRevocations(reader, of),
    ),
    signingKeys: readSigningKeys(reader),
  }
}

export function createApiKey(
  transaction: KeyValueTransaction,
  key: StoredApiKey,
  keysMax: number,
): 'created' | 'name-taken' | 'full' {
  const keys = readApiKeys(transaction)
  const isTaken = keys.some(
    ({ name, expiresAtMs, revokedAtMs }) =>
      name === key.name && revokedAtMs === undefined && expiresAtMs > key.createdAtMs,
  )
  if (isTaken) return 'name-taken'
  if (keys.length >= keysMax) return 'full'
  transaction.put(apiKeyKey(key.id), encodeToken(key))
  growRevision(transaction)
  return 'created'
}

export function revokeApiKey(transaction: KeyValueTransaction, id: string, nowMs: number): boolean {
  const recordKey = apiKeyKey(id)
  const text = transaction.get(recordKey)
  if (text === undefined) return false
  const key = decodeApiKey(text, recordKey)
  if (key.revokedAtMs !== undefined) return false
  transaction.put(recordKey, encodeToken({ ...key, revokedAtMs: nowMs }))
  growRevision(transaction)
  return true
}

export function revokeToken(
  transaction: KeyValueTransaction,
  tokenId: string,
  nowMs: number,
  forgetAtMs: number,
  revocationsMax: number,
): 'revoked' | 'full' {
  const known = transaction.get(revocationKey('token', tokenId)) !== undefined
  const count = transaction.keys(below(revocationsPrefix('token'))).length
  if (!known && count >= revocationsMax) return 'full'
  putRevocation(transaction, { of: 'token', subject: tokenId, atMs: nowMs, forgetAtMs })
  return 'revoked'
}

export function revokeUser(
  transaction: KeyValueTransaction,
  username: string,
  nowMs: number,
  forgetAtMs: number,
): { readonly apiKeys: number; readonly refreshTokens: number } {
  putRevocation(transaction, { of: 'user', subject: username, atMs: nowMs, forgetAtMs })
  const keys = readApiKeys(transaction).filter(
    (key) => userOf(key) === username && key.revokedAtMs === undefined,
  )
  for (const key of keys) {
    transaction.put(apiKeyKey(key.id), encodeToken({ ...key, revokedAtMs: nowMs }))
  }
  const refreshTokens = refreshTokensOf(transaction, username)
  for (const token of refreshTokens) dropRefreshToken(transaction, token)
  return { apiKeys: keys.length, refreshTokens: refreshTokens.length }
}

// A key that stands for itself is a user too; policies and the log know it by this name.
function userOf({ name, username = `key:${name}` }: StoredApiKey): string {
  return username
}

export function putSigningKey(
  transaction: KeyValueTransaction,
  key: StoredSigningKey,
  after: { readonly kid: string; readonly verifiesUntilMs: number } | undefined,
): boolean {
  const signing = readSigningKeys(transaction).find((each) => each.verifiesUntilMs === undefined)
  if (signing?.kid !== after?.kid) return false
  if (signing !== undefined && after !== undefined) {
    const { verifiesUntilMs } = after
    transaction.put(signingKeyKey(signing.kid), encodeToken({ ...signing, verifiesUntilMs }))
  }
  transaction.put(signingKeyKey(key.kid), encodeToken(key))
  growRevision(transaction)
  return true
}

export function createRefreshToken(
  transaction: KeyValueTransaction,
  token: StoredRefreshToken,
  perUserMax: number,
): void {
  const others = refreshTokensOf(transaction, token.username)
  const oldestFirst = others.toSorted((a, b) => a.createdAtMs - b.createdAtMs)
  const surplus = Math.max(0, others.length - perUserMax + 1)
  for (const old of oldestFirst.slice(0, surplus)) dropRefreshToken(transaction, old)
  transaction.put(refreshTokenKey(token.secretSha256), encodeToken(token))
  transaction.put(ownedRefreshTokenKey(token.username, token.secretSha256), present)
}

export function readRefreshToken(
  reader: KeyValueReader,
  secretSha256: string,
): StoredRefreshToken | undefined {
  const key = refreshTokenKey(secretSha256)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeRefreshToken(text, key)
}

export function listRefreshTokens(reader: KeyValueReader): StoredRefreshToken[] {
  return reader
    .entries(below(refreshTokensPrefix))
    .map(({ key, value }) => decodeRefreshToken(value, key))
}

export function removeRefreshToken(transaction: KeyValueTransaction, id: string): boolean {
  const [entry] = transaction.entries({ ...refreshTokensFrom(id), limit: 1 })
  if (entry === undefined) return false
  dropRefreshToken(transaction, decodeRefreshToken(entry.value, entry.key))
  return true
}

export function sweep(transaction: KeyValueTransaction, nowMs: number): void {
  const endedKeys = readApiKeys(transaction).filter(
    ({ expiresAtMs, revokedAtMs = expiresAtMs }) =>
      Math.min(expiresAtMs, revokedAtMs) + endedKeysListedMs <= nowMs,
  )
  const { revocations, signingKeys } = readState(transaction)
  const keys = [
    ...endedKeys.map(({ id }) => apiKeyKey(id)),
    ...revocations
      .filter(({ forgetAtMs }) => forgetAtMs <= nowMs)
      .map(({ of, subject }) => revocationKey(of, subject)),
    ...signingKeys
      .filter(({ verifiesUntilMs = Number.POSITIVE_INFINITY }) => verifiesUntilMs <= nowMs)
      .map(({ kid }) => signingKeyKey(kid)),
  ]
  for (const key of keys) transaction.remove(key)
  if (keys.length > 0) growRevision(transaction)
  for (const token of listRefreshTokens(transaction)) {
    if (token.expiresAtMs <= nowMs) dropRefreshToken(transaction, token)
  }
}

export function readApiKeys(reader: KeyValueReader): StoredApiKey[] {
  return reader.entries(below(apiKeysPrefix)).map(({ key, value }) => decodeApiKey(value, key))
}

function readRevocations(reader: KeyValueReader, of: Revocation['of']): StoredRevocation[] {
  return reader
    .entries(below(revocationsPrefix(of)))
    .map(({ key, value }) => decodeRevocation(value, key))
}

function readSigningKeys(reader: KeyValueReader): StoredSigningKey[] {
  return reader
    .entries(below(signingKeysPrefix))
    .map(({ key, value }) => decodeSigningKey(value, key))
}

export function refreshTokensOf(reader: KeyValueReader, username: string): StoredRefreshToken[] {
  const prefix = ownedRefreshTokensPrefix(username)
  return reader.keys(below(prefix)).flatMap((key) => {
    const token = readRefreshToken(reader, lastPart(key, prefix))
    return token === undefined ? [] : [token]
  })
}

export function dropRefreshToken(
  transaction: KeyValueTransaction,
  token: StoredRefreshToken,
): void {
  transaction.remove(refreshTokenKey(token.secretSha256))
  transaction.remove(ownedRefreshTokenKey(token.username, token.secretSha256))
}

export function putRevocation(
  transaction: KeyValueTransaction,
  { of, subject, atMs, forgetAtMs }: Revocation,
): void {
  const revision = growRevision(transaction)
  const record: StoredRevocation = { of, subject, atMs, forgetAtMs, revision }
  transaction.put(revocationKey(of, subject), encodeToken(record))
}

export function growRevision(transaction: KeyValueTransaction): number {
  const revision = readRevision(transaction) + 1
  transaction.put(tokenRevisionKey, String(revision))
  return revision
}
