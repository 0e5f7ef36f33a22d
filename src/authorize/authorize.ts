// Identity + Action → allowed, or the refusal. Deny is what happens when nobody said otherwise.

import { challenge } from '../authenticate/challenge.ts'
import type { Identity } from '../authenticate/identity.ts'
import { OciError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Action } from '../route/action.ts'
import { type CacheCounts, newCacheCounts } from '../telemetry/cache-counts.ts'
import type { Asked, Guard, GuardStep, Guards, Question, Verdict } from './guard.ts'
import {
  type ActionOrigin,
  DecisionMemo,
  readsReference,
  readsRepository,
  readsRequest,
} from './memo.ts'
import type { CompiledPolicies, CompiledRule } from './policy/compile.ts'
import { type Decision, decide, type PolicyStep, policiesFor } from './policy/decide.ts'

/** What was decided and why, for the audit log and the admin API; never for the caller. */
export interface DecisionRecord {
  /** What a refused caller is told, so that the reasons can be found. */
  readonly decisionId: string
  readonly allowed: boolean
  readonly identity: Identity
  readonly action: Action
  readonly asked: Asked
  /** Empty where there is no global policy. */
  readonly steps: readonly PolicyStep[]
  /** Those that were asked, in order; the last one decided where it did not allow. */
  readonly guards: readonly GuardStep[]
}

export interface AuthorizeOptions {
  /** A rule could not be evaluated; `isFirst` for the first time of that rule, which is worth a line. */
  readonly onRuleError: (rule: CompiledRule, error: string, isFirst: boolean) => void
  /**
   * Told of every denial, and of what is allowed where `records` says so. What it throws is the answer
   * instead: a decision that cannot be recorded is not acted upon.
   */
  readonly onDecision?: (record: DecisionRecord) => void
  /** Which actions `onDecision` hears of when they are allowed. */
  readonly records?: (kind: Action['kind']) => boolean
  readonly guards?: Guards
  /** Of decisions; counted up in place. */
  readonly remembered?: CacheCounts
  readonly randomUuid: () => string
  /**
   * Whether there are credentials that could be shown beside a certificate. Then the refused bearer of
   * a certificate without a user name is asked for some, since clients show none before they are asked.
   */
  readonly canLogIn?: boolean
}

export interface Authorize {
  /**
   * Returns, or resolves, where the action is allowed; at once where no guard has to be waited for.
   * Errors: OciError UNAUTHORIZED (401, with a challenge) for the anonymous, else DENIED (403).
   * Source: seeds "Fail-Closed Design"; RFC 9110 §15.5.2.
   */
  (identity: Identity, action: Action, asked: Asked): void | Promise<void>
  /** For what an action implies beside itself, such as reading the source of a mount. */
  isAllowed(identity: Identity, action: Action, asked: Asked): boolean | Promise<boolean>
  /**
   * Whether some request like this one could be allowed: true as well where a rule looks at more of the
   * request than its action and repository, since that is not known yet. Guards are not asked: they
   * decide about requests.
   */
  mayBeAllowed(identity: Identity, action: Action, asked: Asked): boolean
  /** False where all repositories are alike: what is allowed in one is allowed in every one. */
  readonly tellsRepositoriesApart: boolean
  /** False where no rule for the repository looks at a tag or digest. Guards may, all the same. */
  tellsReferencesApart(repository: RepositoryName): boolean
}

const noGuards: readonly Guard[] = []
const noSteps: readonly GuardStep[] = []

/** The result belongs to its policies: with a new configuration, make a new one. */
export function createAuthorize(policies: CompiledPolicies, options: AuthorizeOptions): Authorize {
  const { onDecision, records, guards, randomUuid } = options
  const isAudited = records ?? ((): boolean => false)
  if (isOpen(policies) && guards === undefined && records === undefined) return open
  const memo = new DecisionMemo()
  const counts = options.remembered ?? newCacheCounts()
  const onRuleError = onceFirst(options.onRuleError)

  function decisionFor(
    identity: Identity,
    action: Action,
    asked: Asked,
    origin: ActionOrigin,
  ): Decision {
    const known = memo.find(identity, action)
    if (known !== undefined) {
      counts.hits += 1
      return known
    }
    counts.misses += 1
    const found = policiesFor(policies, action)
    const clientIp = (): string => asked.clientIp()
    const decision = decide(found, { identity, action, clientIp }, onRuleError)
    memo.add(identity, action, found, decision, origin)
    return decision
  }

  function settle(question: Question, decision: Decision, told: readonly GuardStep[]): void {
    const { identity, action, asked } = question
    const allowed = decision.allowed && told.every(({ verdict }) => verdict.result === 'allow')
    if (allowed && !isAudited(action.kind)) return
    const decisionId = randomUuid()
    const { steps } = decision
    onDecision?.({ decisionId, allowed, identity, action, asked, steps, guards: told })
    if (!allowed) throw refusal(identity, action, decisionId, options.canLogIn === true)
  }

  function authorize(identity: Identity, action: Action, asked: Asked): void | Promise<void> {
    const decision = decisionFor(identity, action, asked, 'routed')
    const asks = guards === undefined ? noGuards : guards.guardsFor(action)
    if (decision.allowed && asks.length === 0 && !isAudited(action.kind)) return
    const question = { identity, action, asked }
    if (!decision.allowed || asks.length === 0) return settle(question, decision, noSteps)
    const told = askAll(asks, question)
    if (!(told instanceof Promise)) return settle(question, decision, told)
    return told.then((steps) => settle(question, decision, steps))
  }

  return Object.assign(authorize, {
    isAllowed(identity: Identity, action: Action, asked: Asked): boolean | Promise<boolean> {
      if (!decisionFor(identity, action, asked, 'implied').allowed) return false
      const asks = guards === undefined ? noGuards : guards.guardsFor(action)
      if (asks.length === 0) return true
      const told = askAll(asks, { identity, action, asked })
      return told instanceof Promise ? told.then(doAllow) : doAllow(told)
    },
    mayBeAllowed: (identity: Identity, action: Action, asked: Asked): boolean =>
      policiesFor(policies, action).some(readsRequest) ||
      decisionFor(identity, action, asked, 'implied').allowed,
    tellsRepositoriesApart:
      guards !== undefined ||
      policies.repositories.size > 0 ||
      (policies.global !== undefined && readsRepository(policies.global)),
    tellsReferencesApart: (repository: RepositoryName): boolean =>
      policiesFor(policies, { kind: 'list-tags', repository, page: {} }).some(readsReference),
  })
}

// Where there is nothing to evaluate.
const open: Authorize = Object.assign(() => {}, {
  isAllowed: () => true,
  mayBeAllowed: () => true,
  tellsRepositoriesApart: false,
  tellsReferencesApart: () => false,
})

function doAllow(told: readonly GuardStep[]): boolean {
  return told.every(({ verdict }) => verdict.result === 'allow')
}

/** One after the other until one does not allow; at once as long as they answer at once. */
function askAll(
  guards: readonly Guard[],
  question: Question,
): readonly GuardStep[] | Promise<readonly GuardStep[]> {
  const told: GuardStep[] = []
  for (const [index, guard] of guards.entries()) {
    const verdict = guard.ask(question)
    if (verdict instanceof Promise) return askOn(guards, index, verdict, question, told)
    told.push({ guard: guard.name, verdict })
    if (verdict.result !== 'allow') break
  }
  return told
}

async function askOn(
  guards: readonly Guard[],
  from: number,
  first: Promise<Verdict>,
  question: Question,
  told: GuardStep[],
): Promise<readonly GuardStep[]> {
  for (let index = from; index < guards.length; index += 1) {
    const guard = guards[index]
    if (guard === undefined) break
    const verdict = await (index === from ? first : guard.ask(question))
    told.push({ guard: guard.name, verdict })
    if (verdict.result !== 'allow') break
  }
  return told
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
