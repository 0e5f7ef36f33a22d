// A decision → its record in the audit log.

import type { GuardStep } from '../authorize/guard.ts'
import type { PolicyStep } from '../authorize/policy/decide.ts'
import type { Action } from '../route/action.ts'
import type { DecisionFacts, Who } from './decision-facts.ts'
import { bounded, boundedList, boundedOrNull, type RecordBody } from './record.ts'

// No spreads, which cost more than all the rest; what is undefined is left out of the line.
export function decisionRecord(facts: DecisionFacts): RecordBody {
  const { steps, guards, action } = facts
  const last = steps.at(-1)
  const target = action === undefined ? nothing : targetOf(action)
  return {
    decision_id: facts.decisionId,
    allowed: facts.allowed,
    action: action?.kind ?? null,
    repository: target.repository,
    reference: target.reference,
    digest: target.digest,
    tags: target.tags,
    from: target.from,
    identity: facts.who === undefined ? null : identityFields(facts.who),
    client_ip: facts.clientIp,
    method: bounded(facts.method),
    path: bounded(facts.path),
    user_agent: bounded(facts.userAgent),
    policy: last?.policy ?? null,
    rule: boundedOrNull(last?.decidedBy?.text),
    rule_error: boundedOrNull(last && errorIn(last)),
    guards: guards.map(guardFields),
    reason: boundedOrNull(facts.reason),
    message: facts.message === null ? undefined : bounded(facts.message),
  }
}

/** What an action is about; undefined is what it does not have. */
export interface Target {
  readonly repository: string | null
  readonly reference: string | undefined
  readonly digest: string | undefined
  readonly tags: readonly string[] | undefined
  readonly from: string | undefined
}

const nothing: Target = {
  repository: null,
  reference: undefined,
  digest: undefined,
  tags: undefined,
  from: undefined,
}

export function targetOf(action: Action): Target {
  const reference = 'reference' in action ? action.reference : undefined
  const own = 'digest' in action ? action.digest : undefined
  return {
    repository: 'repository' in action ? action.repository : null,
    reference: reference?.kind === 'tag' ? reference.tag : undefined,
    digest: reference?.kind === 'digest' ? reference.digest : own,
    tags: 'tags' in action ? boundedList(action.tags) : undefined,
    from: 'from' in action ? action.from : undefined,
  }
}

export function identityFields(who: Who): RecordBody {
  const { certificate } = who
  return {
    id: boundedOrNull(who.id),
    username: boundedOrNull(who.username),
    groups: boundedList(who.groups),
    auth_method: who.authMethod,
    token_id: boundedOrNull(who.tokenId),
    certificate:
      certificate === null
        ? null
        : {
            common_names: boundedList(certificate.commonNames),
            organizations: boundedList(certificate.organizations),
            serial: bounded(certificate.serial),
          },
    oidc_provider: boundedOrNull(who.oidcProvider),
  }
}

export function guardFields({ guard, verdict }: GuardStep): RecordBody {
  return {
    guard,
    result: verdict.result,
    reason: boundedOrNull(verdict.reason),
    decision_id: boundedOrNull(verdict.decisionId),
    cached: verdict.isCached,
  }
}

/** Of the rule that decided, else of the first that failed. */
function errorIn({ rules, decidedBy }: PolicyStep): string | undefined {
  const own = rules.find(({ rule, error }) => rule === decidedBy && error !== undefined)
  return (own ?? rules.find(({ error }) => error !== undefined))?.error
}
