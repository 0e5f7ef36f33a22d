// What every listener does alike, and TLS where one of them needs it.

import type { Config } from '../config/schema.ts'
import type { ListenerDefaults } from '../server/listen.ts'
import type { Pipeline } from '../server/pipeline.ts'
import { replyHeaders } from '../server/reply-headers.ts'
import { certificateLog } from '../server/security-log.ts'
import { keepTls, type TlsKeeper } from '../server/tls/keep.ts'
import { TicketSecrets, type TicketSeed } from '../server/tls/ticket-keys.ts'
import { Admission } from '../server/transport/admission.ts'
import type { EdgeCounts } from '../telemetry/edge-counts.ts'
import type { Logger } from '../telemetry/log.ts'

/** Undefined where no listener uses TLS. */
export async function openTls(
  config: Config,
  log: Logger,
  ticketSeed?: TicketSeed,
): Promise<TlsKeeper | undefined> {
  if (config.tls === undefined || !config.listeners.some((each) => each.tls)) return undefined
  return keepTls(config.tls, log, undefined, new TicketSecrets(ticketSeed))
}

/** What answers requests, whichever generation that is at the moment. */
export interface Answering {
  readonly pipeline: Pipeline
}

export interface EdgeParts {
  readonly counts: EdgeCounts
  readonly log: Logger
  readonly trusts: (peerAddress: string) => boolean
  readonly sharesAddress: boolean
}

export function edgeOptions(
  config: Config,
  current: Answering,
  parts: EdgeParts,
): ListenerDefaults {
  const { headers, limits, server } = config
  return {
    ...parts,
    choice: server.transport,
    tlsConfig: config.tls,
    admission: new Admission(limits),
    pace: {
      handshakeMs: limits.handshakeTimeoutMs,
      headersMs: limits.headersTimeoutMs,
      stallMs: limits.stallTimeoutMs,
      keepAliveMs: limits.keepAliveTimeoutMs,
      receiveRateMin: limits.receiveRateMinBytes,
      sendRateMin: limits.sendRateMinBytes,
      graceMs: limits.rateGraceMs,
    },
    replyHeaders: (secure) => replyHeaders(headers, secure),
    busy: (limit, asker) => current.pipeline.busy(limit, asker),
    onCertificateRefused: certificateLog(parts.log, () => performance.now()),
    handler: (exchange) => current.pipeline.handle(exchange),
    refuse: (reason, asker, status) => current.pipeline.refuse(reason, asker, status),
    onFault: (error) => current.pipeline.fault(error),
  }
}
