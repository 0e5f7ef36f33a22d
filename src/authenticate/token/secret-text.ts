// The text of API keys and refresh tokens: a prefix that scanners for leaked secrets can search for,
// 256 random bits, and a checksum that tells a mistyped one, or a chance match, without a look-up.

import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

export type SecretKind = 'api-key' | 'refresh-token'

export interface SecretText {
  readonly kind: SecretKind
  /**
   * What is stored, lower-case hexadecimal. One plain SHA-256 is right here: of 256 random bits nothing
   * can be guessed, so a slow hash would only cost, and a salt has no two equal secrets to keep apart.
   */
  readonly sha256: string
}

/** What `kind` begins with. */
export const secretPrefixes: Readonly<Record<SecretKind, string>> = {
  'api-key': 'keelson_',
  'refresh-token': 'keelson_refresh_',
}

export const secretBytes = 32

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const bodyLength = 43
const checksumLength = 6
// No underscore in the body, so that no text is of both kinds.
const form = /^keelson_(refresh_)?[0-9A-Za-z]{49}$/

/** `random` are 32 bytes of which nobody else knows. */
export function makeSecret(kind: SecretKind, random: Uint8Array): string {
  if (random.length !== secretBytes) throw new RangeError('expected 32 random bytes')
  const number = BigInt(`0x${Buffer.from(random).toString('hex')}`)
  const text = secretPrefixes[kind] + base62(number, bodyLength)
  return text + checksumOf(text)
}

/** Undefined where it was not made by `makeSecret`, as far as its form tells. */
export function readSecret(text: string): SecretText | undefined {
  const match = form.exec(text)
  if (match === null) return undefined
  const checked = text.slice(0, -checksumLength)
  if (checksumOf(checked) !== text.slice(-checksumLength)) return undefined
  const kind = match[1] === undefined ? 'api-key' : 'refresh-token'
  return { kind, sha256: hash('sha256', text) }
}

/** Whether it means to be one: what is mistyped is to be refused, and not taken for a password. */
export function looksLikeSecret(text: string): boolean {
  return text.startsWith(secretPrefixes['api-key'])
}

/** By which people name it. */
export function secretId(sha256: string): string {
  return sha256.slice(0, 16)
}

function checksumOf(text: string): string {
  return base62(BigInt(crc32(text)), checksumLength)
}

function base62(number: bigint, length: number): string {
  let text = ''
  for (let rest = number; rest > 0n; rest /= 62n) text = digits.charAt(Number(rest % 62n)) + text
  return text.padStart(length, '0')
}
