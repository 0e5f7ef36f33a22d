// Checks one written value against its row of the schema.
import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { isLoopbackHost } from '../http/loopback.ts'
import type { Entry } from './entry.ts'
import { parseSecretSource } from './secret.ts'
import { parseDuration, parseSize } from './units.ts'

/**
 * The value in base units, or undefined when it is not what the row allows.
 * A relative path is resolved against the folder of `file`. A secret is not read yet: its value here
 * is a SecretSource.
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
      return parsePath(written, file)
    case 'text':
      return parseText(written, entry.lengthMin)
    case 'mode':
      return parseMode(written)
    case 'secret':
      return parseSecretSource(written, file)
    case 'time':
      return parseTime(written)
    case 'url':
      return parseUrl(written)
    case 'choices':
      return parseChoices(written, entry.of)
    case 'expressions':
    case 'networks':
    case 'paths':
      return parseItems(entry.kind, written, file)
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
    case 'text':
      if (entry.lengthMin > 1)
        return `printable ASCII text of ${entry.lengthMin} characters or more`
      return entry.lengthMin === 0 ? 'printable ASCII text' : 'printable ASCII text, not empty'
    case 'mode':
      return 'an octal mode in quotes, such as `"0660"`'
    case 'secret':
      return 'a string, or one of `{ env = "NAME" }`, `{ file = "PATH" }`, `{ credential = "NAME" }`'
    case 'url':
      return 'an `https://` URL; `http://` on loopback only'
    case 'choices':
      return `an array of ${entry.of.map((choice) => `\`"${choice}"\``).join(', ')}`
    case 'time':
      return 'a date and time with an offset, such as `2030-01-31T12:00:00Z`'
    case 'expressions':
      return 'an array of strings'
    case 'networks':
      return 'an array of IP addresses and networks, such as `["10.0.0.0/8", "::1"]`'
    case 'paths':
      return 'an array of paths'
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

/** The index of the first item that makes an array unfit; -1 where it is not one of the items. */
export function unfitItem(entry: Entry, written: unknown, file: string): number {
  const { kind } = entry
  if (kind !== 'expressions' && kind !== 'networks' && kind !== 'paths') return -1
  if (!Array.isArray(written)) return -1
  return written.findIndex((item: unknown) => parseItem(kind, item, file) === undefined)
}

/** A found value in a few words, for errors. */
export function describeFound(value: unknown): string {
  if (typeof value === 'string') {
    // Somebody may have put a password into a URL.
    const shown = value.replaceAll(/\/\/[^/?#]*@/g, '//***@')
    return JSON.stringify(shown.length > 60 ? `${shown.slice(0, 60)}…` : shown)
  }
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

function parsePath(written: unknown, file: string): string | undefined {
  if (typeof written !== 'string' || written === '' || written.includes('\0')) return undefined
  return resolve(dirname(file), written)
}

// A text becomes a header value or an OpenSSL string: neither may hold control bytes.
function parseText(written: unknown, lengthMin: number): string | undefined {
  if (typeof written !== 'string' || written.trim() !== written) return undefined
  return written.length >= lengthMin && /^[\x20-\x7e]{0,4096}$/.test(written) ? written : undefined
}

function parseMode(written: unknown): number | undefined {
  return typeof written === 'string' && /^0?[0-7]{3}$/.test(written)
    ? Number.parseInt(written, 8)
    : undefined
}

// Kept as written: an issuer is compared character by character.
function parseUrl(written: unknown): string | undefined {
  if (typeof written !== 'string' || !URL.canParse(written)) return undefined
  const { protocol, hostname, username, password, hash } = new URL(written)
  const isSafe = protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname))
  return isSafe && username === '' && password === '' && hash === '' ? written : undefined
}

function parseChoices(written: unknown, of: readonly string[]): readonly string[] | undefined {
  if (!Array.isArray(written) || written.length === 0) return undefined
  const found = of.filter((choice) => written.includes(choice))
  return written.every((item) => of.includes(item as string)) ? found : undefined
}

// TOML has dates of its own; with no offset they would mean another moment on each host.
function parseTime(written: unknown): number | undefined {
  const text = written instanceof Date ? written.toISOString() : written
  if (typeof text !== 'string') return undefined
  if (!/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text))
    return undefined
  const time = Date.parse(text.replace(' ', 'T'))
  return Number.isNaN(time) ? undefined : time
}

type ItemKind = 'expressions' | 'networks' | 'paths'

function parseItems(kind: ItemKind, written: unknown, file: string): readonly string[] | undefined {
  if (!Array.isArray(written)) return undefined
  const parsed = written.map((item: unknown) => parseItem(kind, item, file))
  return parsed.every((item) => item !== undefined) ? parsed : undefined
}

function parseItem(kind: ItemKind, written: unknown, file: string): string | undefined {
  if (kind === 'paths') return parsePath(written, file)
  if (typeof written !== 'string') return undefined
  return kind === 'expressions' || isNetwork(written) ? written : undefined
}

function isNetwork(written: string): boolean {
  const [, address = '', prefix] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(written) ?? []
  const version = isIP(address)
  // A transport reports a mapped address as IPv4, so such a network would match nobody.
  if (version === 0 || /^::ffff:[\d.]+$/i.test(address)) return false
  return prefix === undefined || Number(prefix) <= (version === 4 ? 32 : 128)
}
