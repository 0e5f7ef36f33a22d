// The usual line of the access log as text, at once: what the log's own formatter would make of its
// fields, of pieces that are put together once for each action, caller and client.

import type { PlainLines } from './log.ts'
import type { RecordedAction, RecordedIdentity, RequestRecord } from './request-record.ts'

// Of a text of a client or provider. What is longer is cut, and what is unusual is made harmless, by the
// formatter.
const textMax = 256
const unusual = /[^\x20-\x7e]/

interface Asked {
  readonly method: string
  readonly text: string
}

/** Quotes the same few texts again and again. */
class Quoted {
  #of = ''
  #text: string | undefined = '""'

  /** Undefined where it is not as plain as most. */
  quote(text: string): string | undefined {
    if (text === this.#of) return this.#text
    this.#of = text
    const isPlain = text.length <= textMax && !unusual.test(text)
    this.#text = isPlain ? JSON.stringify(text) : undefined
    return this.#text
  }
}

/** One per log. */
export class AccessLines {
  readonly #out: PlainLines
  readonly #asked = new WeakMap<RecordedAction, Asked>()
  readonly #callers = new WeakMap<RecordedIdentity, string>()
  readonly #agents = new Quoted()
  readonly #addresses = new Quoted()
  #timeMs = -1
  #begin = ''

  constructor(out: PlainLines) {
    this.#out = out
  }

  /** False where the line is not as plain as most: nothing is written then. */
  write(record: RequestRecord): boolean {
    const { action, identity, durationMs } = record
    if (action === undefined || identity === undefined) return false
    if (!isUsual(record) || !this.#out.areTaken()) return false
    const caller = this.#callerOf(identity)
    const address = this.#addresses.quote(record.address)
    const agent = this.#agents.quote(record.userAgent)
    if (caller === '' || address === undefined || agent === undefined) return false
    const took =
      durationMs === undefined ? '' : `,"durationMs":${Math.round(durationMs * 1000) / 1000}`
    const asked = this.#askedOf(action, record.method)
    const result = `${record.status},"bytesIn":${record.bytesIn},"bytesOut":${record.bytesOut}${took}`
    const client = `${address},"userAgent":${agent},"requestId":"${record.requestId}"`
    this.#out.write(`${this.#beginNow()}${asked}${result}${caller}${client},"msg":"request"}\n`)
    return true
  }

  // Many lines fall into one millisecond.
  #beginNow(): string {
    const now = Date.now()
    if (now !== this.#timeMs) {
      this.#timeMs = now
      this.#begin = this.#out.begin(now)
    }
    return this.#begin
  }

  #askedOf(action: RecordedAction, method: string): string {
    const before = this.#asked.get(action)
    if (before?.method === method) return before.text
    const { kind, repository, reference, digest } = action
    const named = reference?.kind === 'tag' ? reference.tag : reference?.digest
    const fields = { method, action: kind, repository, reference: named, digest }
    const text = `,${JSON.stringify(fields).slice(1, -1)},"status":`
    this.#asked.set(action, { method, text })
    return text
  }

  #callerOf(identity: RecordedIdentity): string {
    const before = this.#callers.get(identity)
    if (before !== undefined) return before
    const { username, authMethod } = identity
    const isPlain = username === null || (username.length <= textMax && !unusual.test(username))
    const fields = JSON.stringify({ username, authMethod }).slice(1, -1)
    const text = isPlain ? `,${fields},"address":` : ''
    this.#callers.set(identity, text)
    return text
  }
}

function isUsual(record: RequestRecord): boolean {
  const { aborted, decisionId, isForwarded, method, traceparent } = record
  const isPlain = decisionId === '' && traceparent === '' && !isForwarded && !aborted
  return isPlain && (method === 'GET' || method === 'HEAD')
}
