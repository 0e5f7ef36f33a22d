// Gives every refusal an id by which an operator can find its reasons, also where no policy made it.

import type { Audit } from '../audit/audit.ts'
import type { Identity } from '../authenticate/identity.ts'
import { TokenRefusal } from '../authenticate/oidc/contract.ts'
import { InsufficientScope, RegistryTokenRefusal } from '../authenticate/token/contract.ts'
import type { Asked } from '../authorize/guard.ts'
import { errorTable, OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'

/** What is known of the request when it is refused. */
export interface RefusedRequest {
  readonly action: Action | undefined
  /** Undefined where it is refused before it is known who asks. */
  readonly identity: Identity | undefined
  readonly asked: Asked
}

/**
 * A 401 or 403 with `decisionId` in its `detail`, recorded under that id; anything else, and what has an
 * id, as it is. Where the record has no place: the UNAVAILABLE (503) that is the answer instead.
 */
export function tracedRefusal(
  error: OciError,
  request: RefusedRequest,
  audit: Pick<Audit, 'refusal'>,
): OciError {
  const { code, status, message, detail, cause, closeConnection, headers } = error
  if ((status !== 401 && status !== 403) || hasId(detail)) return error
  const { action, identity, asked } = request
  const isPlain = message === errorTable[code].message
  let decisionId: string
  try {
    decisionId = audit.refusal({
      ...{ action, identity, asked },
      reason: reasonOf(error, asked),
      message: isPlain ? null : message,
    })
  } catch (unavailable) {
    if (unavailable instanceof OciError) return unavailable
    throw unavailable
  }
  const more = isObject(detail) ? detail : detail === undefined ? {} : { detail }
  const known = action === undefined ? {} : { action: action.kind }
  return new OciError(code, {
    ...{ status, message, cause, closeConnection, headers },
    detail: { ...known, ...more, decisionId },
  })
}

function reasonOf({ cause, status }: OciError, asked: Asked): string {
  if (cause instanceof InsufficientScope) return 'insufficient-scope'
  if (cause instanceof RegistryTokenRefusal || cause instanceof TokenRefusal) return cause.problem
  if (status === 403) return 'denied'
  return asked.header('authorization') === '' ? 'no-credentials' : 'wrong-credentials'
}

function hasId(detail: unknown): boolean {
  return isObject(detail) && typeof detail['decisionId'] === 'string'
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
