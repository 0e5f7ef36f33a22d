// What the log says of logins and of refusals: enough to answer why, never a secret.

import type { LoginEvent } from '../authenticate/authenticate.ts'
import type { Denial } from '../authorize/authorize.ts'
import type { TokenAdminEvent, TokenEvent } from '../operation/token/audit.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CertificateRefusal } from './transport/exchange.ts'

export function logLogin(login: LoginEvent, log: Logger): void {
  if (login.result === 'success') log.info({ login }, 'logged in')
  else log.warn({ login }, 'login failed')
}

/** The id of each token is told, so that it can be revoked; nobody's can do nothing that they could not. */
export function logToken(token: TokenEvent, log: Logger): void {
  if (token.result === 'refused') log.warn({ token }, 'token refused')
  else if (token.method === 'anonymous') log.debug({ token }, 'token issued')
  else log.info({ token }, 'token issued')
}

export function logTokenAdmin(admin: TokenAdminEvent, log: Logger): void {
  log.info({ admin }, 'admin call')
}

// A client that tries again and again must not fill the log.
const refusalsPerPeriod = 10
const periodMs = 10_000

/** Logs refused client certificates, at most ten in ten seconds. `elapsed`: monotonic, in ms. */
export function certificateLog(
  log: Logger,
  elapsed: () => number,
): (refusal: CertificateRefusal) => void {
  let sinceMs = Number.NEGATIVE_INFINITY
  let logged = 0
  let untold = 0
  return (refusal) => {
    if (elapsed() - sinceMs > periodMs) {
      sinceMs = elapsed()
      logged = 0
    }
    if (logged === refusalsPerPeriod) {
      untold += 1
      return
    }
    logged += 1
    log.warn({ ...refusal, ...(untold > 0 ? { untold } : {}) }, 'client certificate refused')
    untold = 0
  }
}

/** A client without credentials is refused all day, before it shows some; that is for debugging only. */
export function logDenial({ decisionId, identity, action, steps }: Denial, log: Logger): void {
  const { id, username, authMethod, certificate, tokenId } = identity
  const last = steps.at(-1)
  const record = {
    decisionId,
    id,
    username,
    authMethod,
    ...(tokenId === null ? {} : { tokenId }),
    ...(certificate === null ? {} : { commonNames: certificate.commonNames }),
    action: action.kind,
    ...('repository' in action ? { repository: action.repository } : {}),
    policy: last?.policy ?? 'none',
    ...(last?.decidedBy === undefined ? {} : { rule: last.decidedBy.text }),
  }
  if (authMethod === 'anonymous') log.debug(record, 'denied')
  else log.info(record, 'denied')
}
