// A request that the transport refused: nobody has looked at what it asks for.

import type { Reply } from '../http/reply.ts'
import type { RequestRecord } from '../telemetry/request-record.ts'
import { checkedTraceparent } from '../telemetry/request-record.ts'
import type { Asker } from './transport/exchange.ts'

export class ObservedRefusal implements RequestRecord {
  readonly action = undefined
  readonly identity = undefined
  readonly isSecure = undefined
  readonly isForwarded = false
  readonly isPicked = true
  readonly aborted = false
  readonly isAtOnce = true
  readonly decisionId = ''
  readonly bytesIn = 0
  readonly durationMs = 0
  readonly method: string
  readonly path: string
  readonly address: string
  readonly userAgent: string
  readonly traceparent: string
  readonly requestId: string
  readonly startMs: number
  readonly status: number
  readonly bytesOut: number

  constructor(asker: Asker, requestId: string, reply: Reply, status: number | undefined) {
    this.method = asker.method
    this.path = asker.path
    this.address = asker.remoteAddress
    this.userAgent = asker.header('user-agent')
    this.traceparent = checkedTraceparent(asker.header('traceparent'))
    this.requestId = requestId
    this.startMs = performance.now()
    this.status = status ?? reply.status
    const hasBody = reply.kind === 'whole' && asker.method !== 'HEAD'
    this.bytesOut = hasBody ? (reply.body?.length ?? 0) : 0
  }

  clientIp(): string {
    return this.address
  }

  keep(): void {
    // It has been read.
  }
}
