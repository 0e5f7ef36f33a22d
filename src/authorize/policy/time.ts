// Timestamps and durations, as rules write them.

import type { Frame, RuleFault } from './frame.ts'
import { Duration, typeName } from './value.ts'

const timestampForm = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/
const durationForm = /(\d{1,18})(?:\.(\d{0,9}))?(ns|us|µs|ms|s|m|h)/y
const timeWork = 100

const unitNanoseconds: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** Source: RFC 3339 §5.6. */
export function parseTimestamp(text: string, frame: Frame): Date {
  frame.charge(timeWork)
  const time = new Date(timestampForm.test(text) ? text : Number.NaN)
  if (!Number.isNaN(time.getTime())) return time
  throw frame.fault('timestamp() needs a time such as 2027-01-31T00:00:00Z')
}

export function timestampOfSeconds(seconds: bigint, frame: Frame): Date {
  // The years that four digits can write.
  if (seconds >= -62_135_596_800n && seconds <= 253_402_300_799n) {
    return new Date(Number(seconds) * 1000)
  }
  throw frame.fault('timestamp() needs a time in the years 1 to 9999')
}

/** Such as `1h30m`, `-1.5h`, `300ms`. */
export function parseDuration(text: string, frame: Frame): Duration {
  frame.charge(timeWork)
  if (text.length > 64) throw durationFault(frame)
  const isNegative = text.startsWith('-')
  let at = isNegative || text.startsWith('+') ? 1 : 0
  if (at === text.length) throw durationFault(frame)
  let nanoseconds = 0n
  while (at < text.length) {
    durationForm.lastIndex = at
    const [part = '', whole = '', fraction = '', unit = ''] = durationForm.exec(text) ?? []
    if (part === '') throw durationFault(frame)
    const of = unitNanoseconds[unit] ?? 0n
    nanoseconds += BigInt(whole) * of
    nanoseconds += (BigInt(fraction.padEnd(9, '0')) * of) / 1_000_000_000n
    at += part.length
  }
  return new Duration(isNegative ? -nanoseconds : nanoseconds)
}

function durationFault(frame: Frame): RuleFault {
  return frame.fault('duration() needs a span such as 1h30m or 300ms')
}

/** 0 for the first of January. */
export function dayOfYear(time: Date): number {
  const year = time.getUTCFullYear()
  return Math.floor((time.getTime() - new Date(0).setUTCFullYear(year, 0, 1)) / 86_400_000)
}

const durationUnits: Readonly<Record<string, bigint>> = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
  getMilliseconds: 1_000_000n,
}

/** The whole duration in the unit that the method names. */
export function durationPart(method: string, value: unknown, frame: Frame): bigint {
  const unit = durationUnits[method]
  if (value instanceof Duration && unit !== undefined) return value.nanoseconds / unit
  throw frame.fault(`no such overload: ${typeName(value)}.${method}()`)
}
