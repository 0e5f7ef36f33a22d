// Revocations that other stores have made: merged so that the list only ever grows stricter.

import type { Revocation, StoredApiKey } from '../token-store.ts'
import type { KeyValueTransaction } from './contract.ts'
import { apiKeyKey, below, revocationKey, revocationsPrefix } from './keys.ts'
import { decodeApiKey, decodeRevocation, encodeToken } from './token-encoding.ts'
import {
  dropRefreshToken,
  growRevision,
  putRevocation,
  readApiKeys,
  refreshTokensOf,
} from './tokens.ts'

export function applyRevocations(
  transaction: KeyValueTransaction,
  revocations: readonly Revocation[],
  countMax: number,
): { readonly applied: number; readonly dropped: number } {
  const room = new Room(transaction, countMax)
  let applied = 0
  let dropped = 0
  for (const revocation of revocations) {
    const result = apply(transaction, revocation, room)
    if (result === 'applied') applied += 1
    if (result === 'full') dropped += 1
  }
  return { applied, dropped }
}

/** How many more of each kind there may be; counted once, since each count reads all of them. */
class Room {
  readonly #transaction: KeyValueTransaction
  readonly #countMax: number
  readonly #counts = new Map<Revocation['of'], number>()

  constructor(transaction: KeyValueTransaction, countMax: number) {
    this.#transaction = transaction
    this.#countMax = countMax
  }

  take(of: Revocation['of']): boolean {
    const count =
      this.#counts.get(of) ?? this.#transaction.keys(below(revocationsPrefix(of))).length
    this.#counts.set(of, count + 1)
    return count < this.#countMax
  }
}

function apply(
  transaction: KeyValueTransaction,
  revocation: Revocation,
  room: Room,
): 'applied' | 'known' | 'full' {
  const { of, subject } = revocation
  if (of === 'api-key') {
    const keyOfKey = apiKeyKey(subject)
    const text = transaction.get(keyOfKey)
    if (text !== undefined) {
      const key = decodeApiKey(text, keyOfKey)
      if (key.revokedAtMs !== undefined) return 'known'
      revokeKey(transaction, key, revocation.atMs)
      growRevision(transaction)
      return 'applied'
    }
  }
  const recordKey = revocationKey(of, subject)
  const text = transaction.get(recordKey)
  const known = text === undefined ? undefined : decodeRevocation(text, recordKey)
  if (known === undefined && !room.take(of)) return 'full'
  const atMs = Math.max(revocation.atMs, known?.atMs ?? 0)
  const forgetAtMs = Math.max(revocation.forgetAtMs, known?.forgetAtMs ?? 0)
  if (known?.atMs === atMs && known.forgetAtMs === forgetAtMs) return 'known'
  putRevocation(transaction, { of, subject, atMs, forgetAtMs })
  if (of === 'user') revokePossessions(transaction, subject, atMs)
  return 'applied'
}

// The news may be hours old: what the user was given since was given in spite of it.
function revokePossessions(transaction: KeyValueTransaction, username: string, atMs: number): void {
  for (const key of readApiKeys(transaction)) {
    const isMeant = key.username === username && key.createdAtMs <= atMs
    if (isMeant && key.revokedAtMs === undefined) revokeKey(transaction, key, atMs)
  }
  for (const token of refreshTokensOf(transaction, username)) {
    if (token.createdAtMs <= atMs) dropRefreshToken(transaction, token)
  }
}

function revokeKey(transaction: KeyValueTransaction, key: StoredApiKey, atMs: number): void {
  transaction.put(apiKeyKey(key.id), encodeToken({ ...key, revokedAtMs: atMs }))
}
