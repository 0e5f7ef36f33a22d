// Reading the fields of a manifest: each refusal names the field, in MANIFEST_INVALID.

import { OciError } from './error.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/** A refusal to throw. `field` is a path such as `layers[3].digest`, or '' for the manifest itself. */
export function invalidManifest(field: string, reason: string): OciError {
  const place = field === '' ? '' : `${field} `
  return new OciError('MANIFEST_INVALID', {
    message: `manifest is not valid: ${place}${reason}`,
    detail: field === '' ? { reason } : { field, reason },
  })
}

/** Whether a member is there; null counts as absent, since Go writes it for what is empty. */
export function isPresent(object: JsonObject, key: string): boolean {
  return object[key] !== undefined && object[key] !== null
}

/** Errors: OciError MANIFEST_INVALID. */
export function readObject(value: unknown, field: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidManifest(field, 'is not an object')
  }
  return value as JsonObject
}

/** A list; empty where it is absent. `field` is where `object` stands. Errors: OciError MANIFEST_INVALID. */
export function readList(object: JsonObject, key: string, field: string): readonly unknown[] {
  if (!isPresent(object, key)) return []
  const value = object[key]
  if (!Array.isArray(value)) throw invalidManifest(join(field, key), 'is not a list')
  return value
}

/** Undefined where it is absent or empty, which Go does not tell apart. Errors: OciError MANIFEST_INVALID. */
export function readText(object: JsonObject, key: string, field: string): string | undefined {
  const value = object[key]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw invalidManifest(join(field, key), 'is not a string')
  return value
}

/**
 * Refuse keys that differ from a known one by case alone. Go matches keys without regard to case, so a
 * client would read such a field although the registry did not, and content would be lost to it.
 * Errors: OciError MANIFEST_INVALID.
 */
export function refuseLookalikes(object: JsonObject, known: KnownKeys, field: string): void {
  for (const key of Object.keys(object)) {
    if (!known.exact.has(key) && known.folded.has(fold(key))) {
      throw invalidManifest(join(field, key), 'differs from a known field by case alone')
    }
  }
}

export interface KnownKeys {
  readonly exact: ReadonlySet<string>
  readonly folded: ReadonlySet<string>
}

export function knownKeys(names: readonly string[]): KnownKeys {
  return { exact: new Set(names), folded: new Set(names.map(fold)) }
}

/** The path of a member. */
export function join(field: string, key: string): string {
  return field === '' ? key : `${field}.${key}`
}

// The long s is what Go folds and toLowerCase leaves; the Kelvin sign becomes k in both.
function fold(key: string): string {
  return key.toLowerCase().replaceAll('\u017f', 's')
}
