// Identity + Action → allowed, or the refusal. Deny is what happens when nobody said otherwise.

import { challenge } from '../authenticate/challenge.ts'
import type { Identity } from '../authenticate/identity.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import { DecisionMemo, readsRequest } from './memo.ts'
import type { CompiledPolicies, CompiledRule } from './policy/compile.ts'
import { type Decision, decide, type PolicyStep, policiesFor } from './policy/decide.ts'

/** A refusal with its reasons, for the audit log and the admin API; never for the refused caller. */
export interface Denial {
  /** What the caller is told, so that the reasons can be found. */
  readonly decisionId: string
  readonly identity: Identity
  readonly action: Action
  /** Empty where there is no global policy. */
  readonly steps: readonly PolicyStep[]
}

export interface AuthorizeOptions {
  /** A rule could not be evaluated; `isFirst` for the first time of that rule, which is worth a line. */
  readonly onRuleError: (rule: CompiledRule, error: string, isFirst: boolean) => void
  readonly onDenied?: (denial: Denial) => void
  readonly randomUuid: () => string
  /**
   * Whether there are credentials that could be shown beside a certificate. Then the refused bearer of
   * a certificate without a user name is asked for some, since clients show none before they are asked.
   */
  readonly canLogIn?: boolean
}

export interface Authorize {
  /**
   * Returns where the action is allowed. `clientIp` is asked only by rules that read it.
   * Errors: OciError UNAUTHORIZED (401, with a challenge) for the anonymous, else DENIED (403).
   * Source: seeds "Fail-Closed Design"; RFC 9110 §15.5.2.
   */
  (identity: Identity, action: Action, clientIp: () => string): void
  /** For what an action implies beside itself, such as reading the source of a mount. */
  isAllowed(identity: Identity, action: Action, clientIp: () => string): boolean
  /**
   * Whether some request like this one could be allowed: true as well where a rule looks at more of the
   * request than its action and repository, since that is not known yet.
   */
  mayBeAllowed(identity: Identity, action: Action, clientIp: () => string): boolean
}

/** The result belongs to its policies: with a new configuration, make a new one. */
export function createAuthorize(policies: CompiledPolicies, options: AuthorizeOptions): Authorize {
  if (isOpen(policies))
    return Object.assign(() => {}, { isAllowed: () => true, mayBeAllowed: () => true })
  const memo = new DecisionMemo()
  const onRuleError = onceFirst(options.onRuleError)

  function decisionFor(identity: Identity, action: Action, clientIp: () => string): Decision {
    const known = memo.find(identity, action)
    if (known !== undefined) return known
    const asked = policiesFor(policies, action)
    const decision = decide(asked, { identity, action, clientIp }, onRuleError)
    memo.add(identity, action, asked, decision)
    return decision
  }

  function authorize(identity: Identity, action: Action, clientIp: () => string): void {
    const { allowed, steps } = decisionFor(identity, action, clientIp)
    if (allowed) return
    const decisionId = options.randomUuid()
    options.onDenied?.({ decisionId, identity, action, steps })
    throw refusal(identity, action, decisionId, options.canLogIn === true)
  }

  return Object.assign(authorize, {
    isAllowed: (identity: Identity, action: Action, clientIp: () => string): boolean =>
      decisionFor(identity, action, clientIp).allowed,
    mayBeAllowed: (identity: Identity, action: Action, clientIp: () => string): boolean =>
      policiesFor(policies, action).some(readsRequest) ||
      decisionFor(identity, action, clientIp).allowed,
  })
}

// Nothing to evaluate: whatever is asked is allowed.
function isOpen({ global, repositories }: CompiledPolicies): boolean {
  return global?.default === 'allow' && global.rules.length === 0 && repositories.size === 0
}

function refusal(
  identity: Identity,
  action: Action,
  decisionId: string,
  canLogIn: boolean,
): OciError {
  const detail = { action: action.kind, decisionId }
  const isAsked =
    identity.authMethod === 'anonymous' || (identity.authMethod === 'mtls' && canLogIn)
  if (!isAsked) return new OciError('DENIED', { detail })
  return new OciError('UNAUTHORIZED', { headers: [challenge], detail })
}

function onceFirst(
  report: AuthorizeOptions['onRuleError'],
): (rule: CompiledRule, error: string) => void {
  const seen = new Set<CompiledRule>()
  return (rule, error) => {
    const isFirst = !seen.has(rule)
    seen.add(rule)
    report(rule, error, isFirst)
  }
}
