// The audit log's part in the admin interface: what cannot be recorded is not done, and what was asked
// of it is.

import type { Audit } from '../audit/audit.ts'
import { OciError } from '../oci/error.ts'
import type { AdminCalls, StatusAnswer } from './admin.ts'

type Room = Pick<Audit, 'assertRoom'>

/** Calls that tell the audit log themselves, each refused with 503 while it has no room for that. */
export function guardedCalls(calls: AdminCalls, audit: Room): AdminCalls {
  return mapCalls(calls, (_path, call) => async (input) => {
    return refusalForWantOfRoom(audit) ?? call(input)
  })
}

/** As `guardedCalls`, for calls that do not: what they were given and came to is recorded. */
export function auditedCalls(calls: AdminCalls, audit: Room & Pick<Audit, 'admin'>): AdminCalls {
  const recorded = mapCalls(calls, (path, call) => async (input) => {
    const name = path.slice(1).replaceAll('/', ' ')
    const subject = JSON.stringify(input)
    const tell = (result: 'done' | 'refused', reason: string | null): void =>
      audit.admin({ call: name, result, subject, reason })
    let answer: StatusAnswer
    try {
      answer = await call(input)
    } catch (error) {
      tell('refused', 'failed')
      throw error
    }
    const { status, body } = answer
    const reason = 'error' in body && typeof body.error === 'string' ? body.error : `${status}`
    if (status < 400) tell('done', null)
    else tell('refused', reason)
    return answer
  })
  return guardedCalls(recorded, audit)
}

type Call = AdminCalls[string]

function mapCalls(calls: AdminCalls, map: (path: string, call: Call) => Call): AdminCalls {
  return Object.fromEntries(Object.entries(calls).map(([path, call]) => [path, map(path, call)]))
}

/** The route `/decisions?id=`: the trace behind a decision id. */
export function decisionRoute(
  audit: Room & Pick<Audit, 'trace' | 'admin'>,
): (query: URLSearchParams) => StatusAnswer {
  return (query) => {
    const refusal = refusalForWantOfRoom(audit)
    if (refusal !== undefined) return refusal
    const subject = query.get('id')
    const answer = audit.trace.answer(subject)
    const result = answer.status === 200 ? 'done' : 'refused'
    const reason = answer.status === 404 ? 'unknown' : answer.status === 400 ? 'malformed' : null
    audit.admin({ call: 'policy explain', result, subject, reason })
    return answer
  }
}

function refusalForWantOfRoom(audit: Room): StatusAnswer | undefined {
  try {
    audit.assertRoom()
    return undefined
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    return { status: 503, body: { error: 'the audit log has no room for this at the moment' } }
  }
}
