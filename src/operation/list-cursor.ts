// Where the next page of a list begins when it comes after a name that its caller may not learn.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import { OciError } from '../oci/error.ts'
import type { Registry } from './registry.ts'

// No name, tag or digest begins so.
const mark = '~'
// Of every length the cursor is the same: that of a name would tell something of it.
const nameBytesMax = 255
const nonceBytes = 12
const tagBytes = 16
const algorithm = 'aes-256-gcm'

/** `list`: what it may be used for, and nothing else. Only processes of this store can read it. */
export async function sealCursor(registry: Registry, list: string, name: string): Promise<string> {
  const { encryption, nonces } = await cursorKeys(registry)
  const text = Buffer.alloc(1 + nameBytesMax)
  text[0] = text.write(name, 1, 'latin1')
  // Made of what it is for: the same text twice, and never two texts under one nonce.
  const nonce = createHmac('sha256', nonces)
    .update(`${list}\n`)
    .update(text)
    .digest()
    .subarray(0, nonceBytes)
  const cipher = createCipheriv(algorithm, encryption, nonce).setAAD(Buffer.from(list))
  const sealed = Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()])
  return mark + sealed.toString('base64url')
}

export function isCursor(last: string | undefined): last is string {
  return last?.startsWith(mark) === true
}

/** The name. Errors: OciError PAGINATION_INVALID for a cursor that is not of this list. */
export async function openCursor(registry: Registry, list: string, last: string): Promise<string> {
  const { encryption } = await cursorKeys(registry)
  const sealed = Buffer.from(last.slice(mark.length), 'base64url')
  if (sealed.length !== nonceBytes + 1 + nameBytesMax + tagBytes) throw invalidCursor()
  try {
    const decipher = createDecipheriv(algorithm, encryption, sealed.subarray(0, nonceBytes))
    decipher.setAAD(Buffer.from(list)).setAuthTag(sealed.subarray(-tagBytes))
    const text = Buffer.concat([
      decipher.update(sealed.subarray(nonceBytes, -tagBytes)),
      decipher.final(),
    ])
    return text.toString('latin1', 1, 1 + (text[0] ?? 0))
  } catch {
    throw invalidCursor()
  }
}

function invalidCursor(): OciError {
  return new OciError('PAGINATION_INVALID', {
    message: 'last is no cursor of this list: begin it anew',
  })
}

async function cursorKeys({ metadata, randomUuid }: Registry): Promise<{
  readonly encryption: Uint8Array
  readonly nonces: Uint8Array
}> {
  const secret = await metadata.ensureSecret(`${randomUuid()}${randomUuid()}`)
  const keyFor = (use: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', secret, '', `list cursors: ${use}`, 32))
  return { encryption: keyFor('encryption'), nonces: keyFor('nonces') }
}
