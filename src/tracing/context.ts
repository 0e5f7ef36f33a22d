// Whether a request is traced, and as a part of which trace.

import type { RequestRecord } from '../telemetry/request-record.ts'

/** Lower-case hexadecimal. */
export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
  /** The caller's span; undefined for a trace that begins here. */
  readonly parentSpanId: string | undefined
}

/** Answers so many random bytes in lower-case hexadecimal. */
export type RandomHex = (bytes: number) => string

const sampledFlag = 0x01

/** Whoever calls decides for its trace; of those that say nothing one in `sample` is traced. */
export class Sampler {
  readonly #sample: number
  readonly #random: RandomHex
  #unsampled = 0

  constructor(sample: number, random: RandomHex) {
    this.#sample = sample
    this.#random = random
  }

  /** Undefined: it is not traced. Source: W3C Trace Context, "traceparent Header Field Values". */
  contextOf({ traceparent }: RequestRecord): TraceContext | undefined {
    if (traceparent === '') return this.#isTurn() ? this.#context(this.#random(16)) : undefined
    const [, traceId = '', parentSpanId = '', flags = ''] = traceparent.split('-')
    const isSampled = (Number.parseInt(flags, 16) & sampledFlag) !== 0
    return isSampled ? this.#context(traceId, parentSpanId) : undefined
  }

  #isTurn(): boolean {
    this.#unsampled += 1
    if (this.#unsampled < this.#sample) return false
    this.#unsampled = 0
    return true
  }

  #context(traceId: string, parentSpanId?: string): TraceContext {
    return { traceId, parentSpanId, spanId: this.#random(8) }
  }
}
