// What expressions compute with: CEL's values as JavaScript has them, and the absent part of an identity.

/** A part of an identity that is not there. It equals null and '', and nothing else; any other use fails. */
export class Absent {
  readonly isAbsent = true
}

export const absent: Absent = Object.freeze(new Absent())

/** A span of time; CEL's `google.protobuf.Duration`. */
export class Duration {
  readonly nanoseconds: bigint

  constructor(nanoseconds: bigint) {
    this.nanoseconds = nanoseconds
  }
}

/** The type of a value in the words of CEL, for messages. */
export function typeName(value: unknown): string {
  switch (typeof value) {
    case 'bigint':
      return 'int'
    case 'number':
      return 'double'
    case 'boolean':
      return 'bool'
    case 'object':
      if (value === null) return 'null'
      if (value === absent) return 'absent'
      if (Array.isArray(value)) return 'list'
      if (value instanceof Date) return 'timestamp'
      return value instanceof Duration ? 'duration' : 'map'
    default:
      return typeof value
  }
}

/** A map of the expression, or an object of the claims. */
export function isMap(
  value: unknown,
): value is ReadonlyMap<unknown, unknown> | Readonly<Record<string, unknown>> {
  return typeName(value) === 'map'
}

/** The value of a key, or undefined. Never what an object inherits. */
export function entryOf(
  map: ReadonlyMap<unknown, unknown> | Readonly<Record<string, unknown>>,
  key: unknown,
): unknown {
  if (map instanceof Map) return map.get(key)
  if (typeof key !== 'string' || !Object.hasOwn(map, key)) return undefined
  return (map as Readonly<Record<string, unknown>>)[key]
}

export function keysOf(
  map: ReadonlyMap<unknown, unknown> | Readonly<Record<string, unknown>>,
): readonly unknown[] {
  return map instanceof Map ? [...map.keys()] : Object.keys(map)
}
