// Records ↔ lines: one JSON object each and, where they are chained, sealed by a hash over the line
// before and everything in this one.

import { hash } from 'node:crypto'
import type { RecordBody, WaitingRecord } from './record.ts'

/** What the first record of a chain follows. */
export const genesis: string = '0'.repeat(64)

/** What is known of a line of the audit log. */
export interface ReadLine {
  readonly seq: number
  /** Undefined where it is not chained. */
  readonly link: { readonly prev: string; readonly hash: string } | undefined
  /** Whether its hash is that of its content; true where it has none. */
  readonly isSound: boolean
  readonly body: RecordBody
}

// The last member of a chained line, so that what the hash covers can be cut out with any tool.
const sealForm = /,"hash":"([0-9a-f]{64})"\}$/
const hashForm = /^[0-9a-f]{64}$/

/** With its newline. `prev`: the hash of the record before; undefined: this one is not chained. */
export function lineOf(record: WaitingRecord, seq: number, prev: string | undefined): string {
  const { timeMs, kind, body } = record
  // Joined as text, since copying the fields into one more object costs more than writing them.
  const start = `{"time":"${timeText(timeMs)}","seq":${seq},"kind":"${kind}",`
  const text = start + JSON.stringify(body()).slice(1)
  if (prev === undefined) return `${text}\n`
  const covered = `${text.slice(0, -1)},"prev":"${prev}"`
  return `${covered},"hash":"${hash('sha256', covered)}"}\n`
}

/** The hash in a line that `lineOf` chained. */
export function hashOf(line: string): string {
  return line.slice(-67, -3)
}

/** Without its newline. Undefined where it is no record. */
export function readLine(line: string): ReadLine | undefined {
  const body = parsed(line)
  const seq = body?.['seq']
  if (body === undefined || typeof seq !== 'number' || !Number.isSafeInteger(seq)) return undefined
  if (typeof body['kind'] !== 'string') return undefined
  if (!Object.hasOwn(body, 'hash')) return { seq, link: undefined, isSound: true, body }
  const { prev, hash: told } = body
  if (typeof prev !== 'string' || typeof told !== 'string' || !hashForm.test(prev)) return undefined
  const covered = line.replace(sealForm, '')
  const isSound = covered !== line && hash('sha256', covered) === told
  return { seq, link: { prev, hash: told }, isSound, body }
}

let lastMs = Number.NaN
let lastText = ''

// Many records share a millisecond.
function timeText(timeMs: number): string {
  if (timeMs !== lastMs) {
    lastMs = timeMs
    lastText = new Date(timeMs).toISOString()
  }
  return lastText
}

function parsed(line: string): RecordBody | undefined {
  try {
    const value: unknown = JSON.parse(line)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as RecordBody) : undefined
  } catch {
    return undefined
  }
}
