// Checks one written value against its row of the schema.
import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import type { Entry } from './entry.ts'
import { parseDuration, parseSize } from './units.ts'

/**
 * The value in base units, or undefined when it is not what the row allows.
 * A relative path is resolved against the folder of `file`.
 */
export function parseValue(entry: Entry, written: unknown, file: string): unknown {
  switch (entry.kind) {
    case 'boolean':
      return typeof written === 'boolean' ? written : undefined
    case 'integer':
      return within(integer(written), entry.min, entry.max)
    case 'integer-or-auto':
      return written === 'auto' ? written : within(integer(written), entry.min, entry.max)
    case 'choice':
      return entry.of.find((choice) => choice === written)
    case 'duration':
      return within(parseDuration(written), parseDuration(entry.min), parseDuration(entry.max))
    case 'size':
      return within(parseSize(written), parseSize(entry.min), parseSize(entry.max))
    case 'address':
      return typeof written === 'string' && isIP(written) !== 0 ? written : undefined
    case 'origin':
      return parseOrigin(written)
    case 'path':
      return isPath(written) ? resolve(dirname(file), written) : undefined
    case 'expressions':
      return isStringArray(written) ? written : undefined
    default:
      return entry satisfies never
  }
}

/** What the row allows, in the words of the errors and of docs/configuration.md. */
export function describeExpected(entry: Entry): string {
  switch (entry.kind) {
    case 'boolean':
      return '`true` or `false`'
    case 'integer':
      return `a whole number from ${entry.min} to ${entry.max}`
    case 'integer-or-auto':
      return `\`"auto"\` or a whole number from ${entry.min} to ${entry.max}`
    case 'choice':
      return `one of ${entry.of.map((choice) => `\`"${choice}"\``).join(', ')}`
    case 'duration':
      return `a duration from ${entry.min} to ${entry.max}`
    case 'size':
      return `a size from ${entry.min} to ${entry.max}`
    case 'address':
      return 'an IPv4 or IPv6 address'
    case 'origin':
      return 'an `http://` or `https://` URL of a host without a path'
    case 'path':
      return 'a path'
    case 'expressions':
      return 'an array of strings'
    default:
      return entry satisfies never
  }
}

/** How the kinds that have units are written; empty for the others. */
export function describeNotation(kind: Entry['kind']): string {
  if (kind === 'duration') return ', such as "100ms", "30s", "5m", "24h", or a number of seconds'
  if (kind === 'size') return ', such as "64KiB", "5MiB", "10GB", or a number of bytes'
  return ''
}

/** A found value in a few words, for errors. */
export function describeFound(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Date) return 'a date'
  if (typeof value === 'object') return 'a table'
  return String(value)
}

function integer(written: unknown): number | undefined {
  return typeof written === 'number' && Number.isSafeInteger(written) ? written : undefined
}

function within(
  value: number | undefined,
  min: number | undefined,
  max: number | undefined,
): number | undefined {
  if (value === undefined || min === undefined || max === undefined) return undefined
  return value >= min && value <= max ? value : undefined
}

function parseOrigin(written: unknown): string | undefined {
  if (typeof written !== 'string' || !URL.canParse(written)) return undefined
  const url = new URL(written)
  const bare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === ''
  return bare && /^https?:$/.test(url.protocol) ? url.origin : undefined
}

function isPath(written: unknown): written is string {
  return typeof written === 'string' && written !== '' && !written.includes('\0')
}

function isStringArray(written: unknown): written is readonly string[] {
  return Array.isArray(written) && written.every((item) => typeof item === 'string')
}
