// Whether two parts of configurations say the same.
import { Secret } from './secret.ts'

/**
 * Compares deeply: secrets by their values and by where they are kept, and without regard to where
 * something stands in its file.
 */
export function sameSettings(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (!isObject(a) || !isObject(b) || Array.isArray(a) !== Array.isArray(b)) return false
  if (a instanceof Secret || b instanceof Secret) {
    return a instanceof Secret && b instanceof Secret && isSameSecret(a, b)
  }
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  names.delete('place')
  return [...names].every((name) => sameSettings(a[name], b[name]))
}

function isSameSecret(a: Secret, b: Secret): boolean {
  return a.reference === b.reference && a.equals(b)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
