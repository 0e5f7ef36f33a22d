// What the log says of logins and of refusals: enough to answer why, never a secret.

import type { DecisionFacts } from '../audit/decision-facts.ts'
import type { IgnoredHeader } from '../authenticate/gateway.ts'
import type { LoginEvent } from '../authenticate/login-event.ts'
import type { TokenAdminEvent, TokenEvent } from '../operation/token/audit.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CertificateRefusal } from './transport/exchange.ts'

export function logLogin(login: LoginEvent, log: Logger): void {
  if (login.result === 'success') log.info({ login }, 'logged in')
  else log.warn({ login }, 'login failed')
}

/** Somebody tries to be anybody, or a gateway is not configured as it should be. */
export function logIgnoredHeader(header: IgnoredHeader, log: Logger): void {
  log.warn({ ...header }, 'a header that names a user was ignored: it comes from no gateway')
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

/**
 * A decision, or a refusal that no policy made. A client without credentials is refused all day, before
 * it shows some; that is for debugging only.
 */
export function logDecision(facts: DecisionFacts, log: Logger): void {
  const { decisionId, who, action, steps, guards, reason } = facts
  const last = steps.at(-1)
  const lastGuard = guards.at(-1)
  const line = {
    decisionId,
    id: who?.id ?? null,
    username: who?.username ?? null,
    authMethod: who?.authMethod ?? null,
    ...(who?.tokenId == null ? {} : { tokenId: who.tokenId }),
    ...(who?.certificate == null ? {} : { commonNames: who.certificate.commonNames }),
    ...(action === undefined ? {} : { action: action.kind }),
    ...(action !== undefined && 'repository' in action ? { repository: action.repository } : {}),
    ...(reason === null ? { policy: last?.policy ?? 'none' } : { reason }),
    ...(last?.decidedBy === undefined ? {} : { rule: last.decidedBy.text }),
    // Not spread: the guard has a decision id of its own.
    ...(lastGuard === undefined ? {} : { guard: lastGuard.guard, verdict: lastGuard.verdict }),
  }
  // Wrong credentials have a line of their own, and missing ones are no news.
  const isNews = facts.who !== undefined && facts.who.authMethod !== 'anonymous'
  if (isNews) log.info(line, 'denied')
  else log.debug(line, 'denied')
}
