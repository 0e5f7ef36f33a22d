// Says which certificates, lists and responses are near their end, and how often to repeat it.
import { isoTime } from './certificates.ts'
import type { Term } from './load.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const certificateWarningMs = 14 * dayMs

/** Something that an operator must see to. */
export interface TermNotice {
  readonly term: Term
  readonly severity: 'warning' | 'error'
  readonly message: string
  /** Say it again after this time. */
  readonly repeatMs: number
}

/**
 * Since when a term's end is near: two weeks for a certificate; for lists and responses, which are
 * renewed all the time, the last quarter of their life, a day at most.
 * Units: ms since the epoch.
 */
export function warnFromMs({ kind, fromMs, untilMs }: Term): number {
  if (kind === 'certificate') return untilMs - certificateWarningMs
  return untilMs - Math.min((untilMs - fromMs) / 4, dayMs)
}

/** What there is to say about these terms now. */
export function noticesOf(terms: readonly Term[], nowMs: number): readonly TermNotice[] {
  return terms.flatMap((term) => {
    if (nowMs < warnFromMs(term)) return []
    const severity = nowMs > term.untilMs ? 'error' : 'warning'
    const repeatMs = term.kind === 'certificate' ? dayMs : hourMs
    return [{ term, severity, message: wording[term.kind][severity](term), repeatMs }]
  })
}

type Wording = (term: Term) => string

const wording: Readonly<Record<Term['kind'], Readonly<Record<TermNotice['severity'], Wording>>>> = {
  certificate: {
    warning: ({ file, untilMs }) =>
      `the server certificate of ${file} expires at ${isoTime(untilMs)}: renew it`,
    error: ({ file, untilMs }) =>
      `the server certificate of ${file} expired at ${isoTime(untilMs)}: clients refuse it`,
  },
  crl: {
    warning: ({ file, untilMs }) =>
      `the revocation list of ${file} ends at ${isoTime(untilMs)}: fetch a new one`,
    error: ({ file, untilMs }) =>
      `the revocation list of ${file} ended at ${isoTime(untilMs)}: every client certificate of its CA is refused until a new one is there`,
  },
  ocsp: {
    warning: ({ file, untilMs }) =>
      `the OCSP response of ${file} ends at ${isoTime(untilMs)}: fetch a new one`,
    error: ({ file, untilMs }) =>
      `the OCSP response of ${file} ended at ${isoTime(untilMs)}: it is not stapled any more`,
  },
}
