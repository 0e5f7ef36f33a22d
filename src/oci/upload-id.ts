// Names of upload sessions: lower-case UUIDs of version 4, so that one spelling names one session.

import assert from 'node:assert'

declare const brand: unique symbol

/** A lower-case UUID of version 4. Safe as a path component. */
export type UploadId = string & { readonly [brand]: 'UploadId' }

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Undefined where `text` is not an upload id. Source: RFC 9562 §4, §5.4. */
export function parseUploadId(text: string): UploadId | undefined {
  return text.length === 36 && form.test(text) ? (text as UploadId) : undefined
}

/** `random` answers a fresh UUID of version 4, as `randomUUID` of node:crypto does. */
export function newUploadId(random: () => string): UploadId {
  const id = parseUploadId(random())
  assert(id !== undefined, 'newUploadId: random() did not answer a lower-case UUID v4')
  return id
}
