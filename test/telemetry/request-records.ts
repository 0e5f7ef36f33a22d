// Answers for records of requests that never were.
import type { RequestRecord } from '../../src/telemetry/request-record.ts'

/** A remembered manifest, but for what `parts` say. */
export function record(parts: Partial<RequestRecord> = {}): RequestRecord {
  return {
    ...{ method: 'GET', path: '/v2/a/manifests/v1', action: { kind: 'get-manifest' } },
    isSecure: false,
    ...{ isForwarded: false, identity: undefined, status: 200, bytesIn: 0, bytesOut: 10 },
    ...{ startMs: 0, durationMs: 1, isAtOnce: true, aborted: false, address: '192.0.2.1' },
    ...{ userAgent: 'agent', requestId: 'id', traceparent: '', decisionId: '' },
    ...parts,
  }
}
