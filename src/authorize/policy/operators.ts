// CEL's operators on values. Each charges for what it touches, where that can be more than a few bytes.

import type { Frame, RuleFault } from './frame.ts'
import { limits } from './limits.ts'
import { absent, Duration, entryOf, isMap, keysOf, typeName } from './value.ts'

type Operator = (left: unknown, right: unknown, frame: Frame) => unknown

const intMax = 2n ** 63n - 1n
const intMin = -(2n ** 63n)

/** CEL's equality: values of different types are different, but for numbers and the absent. */
export function isEqual(left: unknown, right: unknown, frame: Frame): boolean {
  if (left === absent) return right === absent || right === null || right === ''
  if (right === absent) return left === null || left === ''
  if (typeof left === 'string') {
    // Comparing is a few bytes a cycle; only long strings are worth a charge.
    if (left.length > 256) frame.charge(left.length >> 6)
    return left === right
  }
  if (left === right) return true
  if (typeof left === 'bigint') return typeof right === 'number' && sameNumber(left, right)
  if (typeof left === 'number') return typeof right === 'bigint' && sameNumber(right, left)
  if (typeof left !== 'object' || typeof right !== 'object') return false
  if (left === null || right === null) return false
  return areEqualObjects(left, right, frame)
}

function sameNumber(int: bigint, double: number): boolean {
  return Number.isInteger(double) && BigInt(double) === int
}

function areEqualObjects(left: object, right: object, frame: Frame): boolean {
  if (left instanceof Date) return right instanceof Date && left.getTime() === right.getTime()
  if (left instanceof Duration) {
    return right instanceof Duration && left.nanoseconds === right.nanoseconds
  }
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false
    frame.charge(2 * left.length)
    return left.every((item, index) => isEqual(item, right[index], frame))
  }
  if (!isMap(left) || !isMap(right)) return false
  const keys = keysOf(left)
  frame.charge(10 * keys.length)
  if (keys.length !== keysOf(right).length) return false
  return keys.every((key) => {
    const other = entryOf(right, key)
    return other !== undefined && isEqual(entryOf(left, key), other, frame)
  })
}

/** A list of a length that a rule may search. */
export function listOf(value: unknown, frame: Frame): readonly unknown[] {
  if (!Array.isArray(value)) throw frame.fault(`expected a list, not ${typeName(value)}`)
  if (value.length > limits.listElementsMax) {
    throw frame.fault(`a list has ${value.length} elements, more than ${limits.listElementsMax}`)
  }
  return value
}

export function stringOf(value: unknown, frame: Frame): string {
  if (typeof value === 'string') return value
  throw frame.fault(`expected a string, not ${typeName(value)}`)
}

export function includes(list: readonly unknown[], value: unknown, frame: Frame): boolean {
  frame.charge(list.length)
  for (const item of list) if (isEqual(item, value, frame)) return true
  return false
}

/** Refuses what is too long to be worth having; every string that grows comes by here. */
export function grown(text: string, frame: Frame): string {
  frame.charge(text.length >> 3)
  if (text.length <= limits.textLengthMax) return text
  throw frame.fault(`a string has ${text.length} characters, more than ${limits.textLengthMax}`)
}

function overloadFault(operator: string, left: unknown, right: unknown, frame: Frame): RuleFault {
  return frame.fault(`no such overload: ${typeName(left)} ${operator} ${typeName(right)}`)
}

function checkedInt(value: bigint, frame: Frame): bigint {
  if (value >= intMin && value <= intMax) return value
  throw frame.fault('integer overflow')
}

function ordered(name: string, holds: (left: never, right: never) => boolean): Operator {
  return (left, right, frame) => {
    if (typeof left === 'string' && left.length > 256) frame.charge(left.length >> 6)
    const type = orderType(left)
    if (type === undefined || type !== orderType(right)) {
      throw overloadFault(name, left, right, frame)
    }
    return holds(orderOf(left) as never, orderOf(right) as never)
  }
}

// Values of one such type are in an order; int and double share theirs.
function orderType(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return typeof value
    case 'bigint':
    case 'number':
      return 'number'
    default:
      if (value instanceof Date) return Date
      return value instanceof Duration ? Duration : undefined
  }
}

function orderOf(value: unknown): unknown {
  if (value instanceof Date) return value.getTime()
  return value instanceof Duration ? value.nanoseconds : value
}

type Arithmetic = Readonly<{
  int: (left: bigint, right: bigint) => bigint
  double?: (left: number, right: number) => number
  /** The rest, or undefined where the types do not fit. */
  other?: (left: unknown, right: unknown, frame: Frame) => unknown
}>

function arithmetic(name: string, by: Arithmetic): Operator {
  const divides = name === '/' || name === '%'
  return (left, right, frame) => {
    if (typeof left === 'bigint' && typeof right === 'bigint') {
      if (divides && right === 0n) throw frame.fault('division by zero')
      return checkedInt(by.int(left, right), frame)
    }
    if (by.double !== undefined && typeof left === 'number' && typeof right === 'number') {
      return by.double(left, right)
    }
    const value = by.other?.(left, right, frame)
    if (value === undefined) throw overloadFault(name, left, right, frame)
    return value
  }
}

function add(left: unknown, right: unknown, frame: Frame): unknown {
  if (typeof left === 'string' && typeof right === 'string') return grown(left + right, frame)
  if (Array.isArray(left) && Array.isArray(right)) {
    frame.charge(left.length + right.length)
    return listOf([...listOf(left, frame), ...listOf(right, frame)], frame)
  }
  if (left instanceof Duration) {
    if (right instanceof Duration) return new Duration(left.nanoseconds + right.nanoseconds)
    return right instanceof Date ? moved(right, left.nanoseconds) : undefined
  }
  return left instanceof Date && right instanceof Duration
    ? moved(left, right.nanoseconds)
    : undefined
}

function subtract(left: unknown, right: unknown): unknown {
  if (left instanceof Date) {
    if (right instanceof Duration) return moved(left, -right.nanoseconds)
    if (!(right instanceof Date)) return undefined
    return new Duration(BigInt(left.getTime() - right.getTime()) * 1_000_000n)
  }
  return left instanceof Duration && right instanceof Duration
    ? new Duration(left.nanoseconds - right.nanoseconds)
    : undefined
}

function moved(time: Date, nanoseconds: bigint): Date | undefined {
  const date = new Date(time.getTime() + Number(nanoseconds / 1_000_000n))
  return Number.isNaN(date.getTime()) ? undefined : date
}

/** The operators that evaluate both of their sides. */
export const binaryOperators: Readonly<Record<string, Operator>> = {
  '==': isEqual,
  '!=': (left, right, frame) => !isEqual(left, right, frame),
  in: (value, collection, frame) => {
    if (isMap(collection)) return entryOf(collection, value) !== undefined
    return includes(listOf(collection, frame), value, frame)
  },
  '<': ordered('<', (left, right) => left < right),
  '<=': ordered('<=', (left, right) => left <= right),
  '>': ordered('>', (left, right) => left > right),
  '>=': ordered('>=', (left, right) => left >= right),
  '+': arithmetic('+', { int: (a, b) => a + b, double: (a, b) => a + b, other: add }),
  '-': arithmetic('-', { int: (a, b) => a - b, double: (a, b) => a - b, other: subtract }),
  '*': arithmetic('*', { int: (a, b) => a * b, double: (a, b) => a * b }),
  '/': arithmetic('/', { int: (a, b) => a / b, double: (a, b) => a / b }),
  '%': arithmetic('%', { int: (a, b) => a % b }),
}

export function negated(value: unknown, frame: Frame): bigint | number {
  if (typeof value === 'bigint') return checkedInt(-value, frame)
  if (typeof value === 'number') return -value
  throw frame.fault(`no such overload: -${typeName(value)}`)
}

/** What `x[key]` is, for a list or a map. */
export function elementOf(collection: unknown, key: unknown, frame: Frame): unknown {
  if (Array.isArray(collection)) {
    const index = typeof key === 'bigint' || typeof key === 'number' ? Number(key) : Number.NaN
    const item: unknown = Number.isInteger(index) ? collection[index] : undefined
    if (item !== undefined) return item
    throw frame.fault(`a list of ${collection.length} elements has no index ${String(key)}`)
  }
  if (!isMap(collection)) throw frame.fault(`${typeName(collection)} has no fields`)
  const value = entryOf(collection, key)
  if (value !== undefined) return value
  throw frame.fault(`no such key: ${shown(key)}`)
}

function shown(key: unknown): string {
  return typeof key === 'string' ? key.slice(0, 80) : String(key)
}
