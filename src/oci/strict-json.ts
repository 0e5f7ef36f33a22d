// JSON that means the same to every reader: no duplicate keys, no odd encodings, bounded nesting.

export interface StrictJsonLimits {
  /** Objects and arrays within one another. */
  readonly depthMax: number
  /** Keys in any one object. */
  readonly keysMax?: number
  /** Values in the whole document. */
  readonly valuesMax?: number
}

export type StrictJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string }

/** Parse untrusted JSON. Never throws; `reason` is fit for a client. */
export function parseStrictJson(_bytes: Uint8Array, _limits: StrictJsonLimits): StrictJson {
  return { ok: false, reason: 'not JSON' }
}
