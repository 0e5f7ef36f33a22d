// The functions and methods of rules, but for the macros and `matches`. What is not here is refused at load.

import type { Frame, RuleFault } from './frame.ts'
import { grown, includes, listOf, stringOf } from './operators.ts'
import {
  dayOfYear,
  durationPart,
  parseDuration,
  parseTimestamp,
  timestampOfSeconds,
} from './time.ts'
import { isMap, keysOf, typeName } from './value.ts'

/** `values`: the arguments, and before them the receiver of a method. */
export type Call = (values: readonly unknown[], frame: Frame) => unknown

/** By name and number of arguments. */
export const globalFunctions: Readonly<Record<string, Call>> = {
  'size/1': ([value], frame) => size(value, frame),
  'dyn/1': ([value]) => value,
  'string/1': ([value], frame) => asString(value, frame),
  'int/1': ([value], frame) => asInt(value, frame),
  'double/1': ([value], frame) => asDouble(value, frame),
  'bool/1': ([value], frame) => asBool(value, frame),
  'timestamp/1': ([value], frame) =>
    typeof value === 'bigint'
      ? timestampOfSeconds(value, frame)
      : parseTimestamp(stringOf(value, frame), frame),
  'duration/1': ([value], frame) => parseDuration(stringOf(value, frame), frame),
}

/** By name and number of arguments, the receiver not counted. */
export const methods: Readonly<Record<string, Call>> = {
  'size/0': ([value], frame) => size(value, frame),
  'contains/1': ([value, part], frame) => {
    if (Array.isArray(value)) return includes(listOf(value, frame), part, frame)
    const text = stringOf(value, frame)
    return text.includes(needle(text, part, frame))
  },
  'startsWith/1': ([value, start], frame) => stringOf(value, frame).startsWith(text(start, frame)),
  'endsWith/1': ([value, end], frame) => stringOf(value, frame).endsWith(text(end, frame)),
  'indexOf/1': ([value, part], frame) => {
    const whole = stringOf(value, frame)
    return BigInt(whole.indexOf(needle(whole, part, frame)))
  },
  'lastIndexOf/1': ([value, part], frame) => {
    const whole = stringOf(value, frame)
    return BigInt(whole.lastIndexOf(needle(whole, part, frame)))
  },
  'substring/1': ([value, from], frame) => {
    const whole = stringOf(value, frame)
    return substring(whole, from, BigInt(whole.length), frame)
  },
  'substring/2': ([value, from, to], frame) => substring(stringOf(value, frame), from, to, frame),
  'lowerAscii/0': ([value], frame) =>
    text(value, frame).replace(/[A-Z]+/g, (letters) => letters.toLowerCase()),
  'upperAscii/0': ([value], frame) =>
    text(value, frame).replace(/[a-z]+/g, (letters) => letters.toUpperCase()),
  'trim/0': ([value], frame) => text(value, frame).trim(),
  'split/1': ([value, separator], frame) => {
    const whole = stringOf(value, frame)
    return listOf(whole.split(needle(whole, separator, frame)), frame)
  },
  'join/0': ([value], frame) => join(value, '', frame),
  'join/1': ([value, separator], frame) => join(value, stringOf(separator, frame), frame),
  ...timestampMethods(),
}

/** Every name above, for hints. */
export const functionNames: readonly string[] = [
  ...new Set([...Object.keys(globalFunctions), ...Object.keys(methods)].map(nameOf)),
  ...['has', 'exists', 'all', 'exists_one', 'filter', 'map', 'matches'],
]

function nameOf(signature: string): string {
  return signature.slice(0, signature.indexOf('/'))
}

// Whatever goes over a text once is charged by its length; a few dozen characters cost nothing.
function text(value: unknown, frame: Frame): string {
  const whole = stringOf(value, frame)
  if (whole.length > 32) frame.charge(whole.length)
  return whole
}

// The engine's search is quadratic at worst, up to the 250 characters that its tables hold.
function needle(whole: string, part: unknown, frame: Frame): string {
  const sought = stringOf(part, frame)
  frame.charge(((whole.length * Math.min(sought.length, 256)) >> 3) + (whole.length >> 3))
  return sought
}

function size(value: unknown, frame: Frame): bigint {
  if (typeof value === 'string') {
    let count = 0
    for (const _ of text(value, frame)) count += 1
    return BigInt(count)
  }
  if (Array.isArray(value)) return BigInt(value.length)
  if (!isMap(value)) throw frame.fault(`${typeName(value)} has no size`)
  const keys = keysOf(value)
  frame.charge(4 * keys.length)
  return BigInt(keys.length)
}

function substring(whole: string, from: unknown, to: unknown, frame: Frame): string {
  const start = Number(from)
  const end = Number(to)
  if (typeof from === 'bigint' && typeof to === 'bigint' && 0 <= start && start <= end) {
    if (end <= whole.length) return whole.slice(start, end)
  }
  throw frame.fault('substring: an index is out of range')
}

function join(value: unknown, separator: string, frame: Frame): string {
  const parts = listOf(value, frame).map((part) => stringOf(part, frame))
  const length = parts.reduce((sum, part) => sum + part.length + separator.length, 0)
  frame.charge(2 * parts.length + (length >> 3))
  return grown(parts.join(separator), frame)
}

// Numbers go through the engine's printer and parser, about half a microsecond.
const conversionWork = 60

function asString(value: unknown, frame: Frame): string {
  if (typeof value === 'string') return value
  frame.charge(conversionWork)
  switch (typeof value) {
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'number':
      if (Number.isFinite(value) || Number.isNaN(value)) return String(value)
      return value > 0 ? '+Inf' : '-Inf'
    default:
      throw conversionFault('string', value, frame)
  }
}

function asInt(value: unknown, frame: Frame): bigint {
  if (typeof value === 'bigint') return value
  frame.charge(conversionWork)
  if (typeof value === 'number' && Math.abs(value) < 2 ** 63) return BigInt(Math.trunc(value))
  if (typeof value === 'string' && /^[+-]?\d{1,19}$/.test(value)) {
    const int = BigInt(value.replace('+', ''))
    if (BigInt.asIntN(64, int) === int) return int
  }
  throw conversionFault('int', value, frame)
}

function asDouble(value: unknown, frame: Frame): number {
  frame.charge(conversionWork)
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value)
  if (typeof value === 'string' && /^[+-]?[\d.eE+-]{1,40}$/.test(value)) {
    const double = Number(value)
    if (!Number.isNaN(double)) return double
  }
  throw conversionFault('double', value, frame)
}

function asBool(value: unknown, frame: Frame): boolean {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') {
    if (['1', 't', 'true', 'TRUE', 'True'].includes(value)) return true
    if (['0', 'f', 'false', 'FALSE', 'False'].includes(value)) return false
  }
  throw conversionFault('bool', value, frame)
}

function conversionFault(type: string, value: unknown, frame: Frame): RuleFault {
  return frame.fault(`${type}() cannot convert this ${typeName(value)}`)
}

function timestampMethods(): Readonly<Record<string, Call>> {
  const parts: Readonly<Record<string, (time: Date) => number>> = {
    getFullYear: (time) => time.getUTCFullYear(),
    getMonth: (time) => time.getUTCMonth(),
    getDate: (time) => time.getUTCDate(),
    getDayOfMonth: (time) => time.getUTCDate() - 1,
    getDayOfWeek: (time) => time.getUTCDay(),
    getDayOfYear: dayOfYear,
    getHours: (time) => time.getUTCHours(),
    getMinutes: (time) => time.getUTCMinutes(),
    getSeconds: (time) => time.getUTCSeconds(),
    getMilliseconds: (time) => time.getUTCMilliseconds(),
  }
  return Object.fromEntries(
    Object.entries(parts).map(([name, read]): [string, Call] => [
      `${name}/0`,
      ([value], frame) => {
        frame.charge(conversionWork)
        return value instanceof Date ? BigInt(read(value)) : durationPart(name, value, frame)
      },
    ]),
  )
}
