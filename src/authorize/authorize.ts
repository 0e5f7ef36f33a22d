// Identity + Action → allowed, or the refusal. Deny is what happens when nobody said otherwise.

import type { Identity } from '../authenticate/identity.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'

/** `undefined` is the state without any policy. */
export interface Policy {
  readonly default: 'allow' | 'deny'
}

export type Authorize = (identity: Identity, action: Action) => void

/**
 * The function throws where the action is not allowed.
 * Errors: OciError UNAUTHORIZED (401, with a challenge) for the anonymous, else DENIED (403).
 * Source: seeds "Fail-Closed Design"; RFC 9110 §15.5.2.
 */
export function createAuthorize(policy: Policy | undefined): Authorize {
  if (policy?.default === 'allow') return () => {}
  return (identity, action) => {
    if (identity.authMethod === 'anonymous') {
      throw new OciError('UNAUTHORIZED', {
        headers: [['WWW-Authenticate', 'Basic realm="keelson"']],
        detail: { action: action.kind },
      })
    }
    throw new OciError('DENIED', { detail: { action: action.kind } })
  }
}
