// Records of credentials as text and back. What does not decode is corrupt, never absent.

import type {
  StoredApiKey,
  StoredRefreshToken,
  StoredRevocation,
  StoredSigningKey,
} from '../token-store.ts'
import { corrupt, countField, decodeObject, textField } from './encoding.ts'

export function encodeToken(
  record: StoredApiKey | StoredRefreshToken | StoredRevocation | StoredSigningKey,
): string {
  return JSON.stringify(record)
}

export function decodeApiKey(text: string, key: string): StoredApiKey {
  const { username, scopes, revokedAtMs, ...stored } = decodeObject(text, key)
  if (!Array.isArray(scopes)) throw corrupt(key)
  return {
    id: textField(stored['id'], key),
    name: textField(stored['name'], key),
    ...(username === undefined ? {} : { username: textField(username, key) }),
    secretSha256: textField(stored['secretSha256'], key),
    scopes: scopes.map((scope) => textField(scope, key)),
    createdAtMs: countField(stored['createdAtMs'], key),
    expiresAtMs: countField(stored['expiresAtMs'], key),
    ...(revokedAtMs === undefined ? {} : { revokedAtMs: countField(revokedAtMs, key) }),
  }
}

export function decodeRevocation(text: string, key: string): StoredRevocation {
  const stored = decodeObject(text, key)
  const { of } = stored
  if (of !== 'token' && of !== 'user' && of !== 'api-key') throw corrupt(key)
  return {
    of,
    subject: textField(stored['subject'], key),
    revision: countField(stored['revision'], key),
    atMs: countField(stored['atMs'], key),
    forgetAtMs: countField(stored['forgetAtMs'], key),
  }
}

export function decodeSigningKey(text: string, key: string): StoredSigningKey {
  const { verifiesUntilMs, ...stored } = decodeObject(text, key)
  return {
    kid: textField(stored['kid'], key),
    privateKey: textField(stored['privateKey'], key),
    createdAtMs: countField(stored['createdAtMs'], key),
    ...(verifiesUntilMs === undefined ? {} : { verifiesUntilMs: countField(verifiesUntilMs, key) }),
  }
}

export function decodeRefreshToken(text: string, key: string): StoredRefreshToken {
  const stored = decodeObject(text, key)
  return {
    id: textField(stored['id'], key),
    secretSha256: textField(stored['secretSha256'], key),
    username: textField(stored['username'], key),
    userVersion: textField(stored['userVersion'], key),
    createdAtMs: countField(stored['createdAtMs'], key),
    expiresAtMs: countField(stored['expiresAtMs'], key),
  }
}

export function decodeRevision(text: string | undefined, key: string): number {
  if (text === undefined) return 0
  return countField(/^[1-9][0-9]*$/.test(text) ? Number(text) : undefined, key)
}
