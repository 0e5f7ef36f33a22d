// Revocations as text, and text from outside back into revocations: whatever is not one is none.

import { parseStrictJson } from '../oci/strict-json.ts'
import type { Revocation } from '../storage/metadata/token-store.ts'

/** How many one message may hold. */
export const perMessageMax = 100

// 100 of the longest names, each character escaped.
const messageLengthMax = 512 * 1024
const valueLengthMax = 1024
const usernameLengthMax = 512
const forms: Readonly<Record<Revocation['of'], RegExp>> = {
  token: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  'api-key': /^[0-9a-f]{16}$/,
  // Half a character would be another one once it is written.
  user: /^\P{Surrogate}+$/u,
}
// Beyond it a time is no date any more.
const timeMax = 8.64e15

/** The name of a revocation among all others. */
export function fieldOf({ of, subject }: Pick<Revocation, 'of' | 'subject'>): string {
  return `${of}:${subject}`
}

export function timesOf({ atMs, forgetAtMs }: Pick<Revocation, 'atMs' | 'forgetAtMs'>): string {
  return JSON.stringify({ at: atMs, until: forgetAtMs })
}

/** Undefined where the two are no revocation. */
export function readField(field: string, value: string): Revocation | undefined {
  const colon = field.indexOf(':')
  if (colon === -1 || value.length > valueLengthMax) return undefined
  const times = parsed(value, { depthMax: 2, valuesMax: 32 })
  return readRevocation({ ...times, of: field.slice(0, colon), subject: field.slice(colon + 1) })
}

export function messageOf(revocations: readonly Revocation[]): string {
  return JSON.stringify({
    revocations: revocations.map(({ of, subject, atMs, forgetAtMs }) => {
      return { of, subject, at: atMs, until: forgetAtMs }
    }),
  })
}

/** What of a message is a revocation, and how much of it is not. Fields that are not known are passed over. */
export function readMessage(text: string): {
  readonly revocations: readonly Revocation[]
  readonly refused: number
} {
  const none = { revocations: [], refused: 1 }
  if (text.length > messageLengthMax) return none
  const { revocations: list } = parsed(text, { depthMax: 6, valuesMax: 5_000 })
  if (!Array.isArray(list) || list.length > perMessageMax) return none
  const read = list.flatMap((entry: unknown) => readRevocation(entry) ?? [])
  return { revocations: read, refused: list.length - read.length }
}

interface Entry {
  readonly of?: unknown
  readonly subject?: unknown
  readonly at?: unknown
  readonly until?: unknown
}

function readRevocation(entry: unknown): Revocation | undefined {
  if (!isObject(entry)) return undefined
  const { of, subject, at: atMs, until: forgetAtMs }: Entry = entry
  if (of !== 'token' && of !== 'user' && of !== 'api-key') return undefined
  if (typeof subject !== 'string' || subject.length > usernameLengthMax) return undefined
  if (!forms[of].test(subject)) return undefined
  if (!isTime(atMs) || !isTime(forgetAtMs)) return undefined
  return { of, subject, atMs, forgetAtMs }
}

function parsed(
  text: string,
  limits: { readonly depthMax: number; readonly valuesMax: number },
): { readonly revocations?: unknown } {
  const json = parseStrictJson(Buffer.from(text), { ...limits, keysMax: 32 })
  return json.ok && isObject(json.value) ? json.value : {}
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0 && Number(value) <= timeMax
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
