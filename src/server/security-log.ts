// What the log says of logins and of refusals: enough to answer why, never a secret.

import type { LoginEvent } from '../authenticate/authenticate.ts'
import type { Denial } from '../authorize/authorize.ts'
import type { Logger } from '../telemetry/log.ts'

export function logLogin(login: LoginEvent, log: Logger): void {
  if (login.result === 'success') log.info({ login }, 'logged in')
  else log.warn({ login }, 'login failed')
}

/** A client without credentials is refused all day, before it shows some; that is for debugging only. */
export function logDenial({ decisionId, identity, action, steps }: Denial, log: Logger): void {
  const { id, username, authMethod, certificate } = identity
  const last = steps.at(-1)
  const record = {
    decisionId,
    id,
    username,
    authMethod,
    ...(certificate === null ? {} : { commonNames: certificate.commonNames }),
    action: action.kind,
    ...('repository' in action ? { repository: action.repository } : {}),
    policy: last?.policy ?? 'none',
    ...(last?.decidedBy === undefined ? {} : { rule: last.decidedBy.text }),
  }
  if (authMethod === 'anonymous') log.debug(record, 'denied')
  else log.info(record, 'denied')
}
