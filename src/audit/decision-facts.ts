// What is kept of a decision once its request is over: read from the request at once, put into words
// when somebody wants them.

import type { AuthMethod, Identity } from '../authenticate/identity.ts'
import type { DecisionRecord } from '../authorize/authorize.ts'
import type { Asked, GuardStep } from '../authorize/guard.ts'
import type { PolicyStep } from '../authorize/policy/decide.ts'
import type { Action } from '../route/action.ts'

/** Who asked, less the claims, which may be long and are nobody else's business. */
export interface Who {
  readonly id: string | null
  readonly username: string | null
  readonly groups: readonly string[]
  readonly authMethod: AuthMethod
  readonly tokenId: string | null
  readonly certificate: Identity['certificate']
  readonly oidcProvider: string | null
}

export interface DecisionFacts {
  readonly decisionId: string
  /** Wall clock, in ms since the epoch. */
  readonly timeMs: number
  readonly allowed: boolean
  /** Undefined where the request was refused before it was known who asks. */
  readonly who: Who | undefined
  /** Undefined where the request was refused before it was known what it asks for. */
  readonly action: Action | undefined
  readonly method: string
  /** Without the query, which may carry what is secret. */
  readonly path: string
  readonly clientIp: string
  readonly userAgent: string
  readonly steps: readonly PolicyStep[]
  readonly guards: readonly GuardStep[]
  /** Why it was refused, where no policy or guard did; else null. */
  readonly reason: string | null
  /** In the words that the client was told, where they say more than the code; else null. */
  readonly message: string | null
  /** Nobody, who showed nothing: what clients send before they are asked to log in. */
  readonly isBare: boolean
}

/** A refusal that is no decision of the policies, such as that of a wrong password. */
export interface Refusal {
  readonly reason: string
  readonly message: string | null
  readonly identity: Identity | undefined
  readonly action: Action | undefined
  readonly asked: Asked
}

const noSteps: readonly PolicyStep[] = []
const noGuards: readonly GuardStep[] = []
// Neither name nor password: what podman, buildah and skopeo send when they have none.
const emptyLogin = 'Basic Og=='

/**
 * Reads of the request what is needed before it returns. On the way of requests that are allowed, where
 * a literal without spreads costs a tenth of one with them.
 */
export function factsOf(record: DecisionRecord, timeMs: number): DecisionFacts {
  const { identity, asked } = record
  return {
    decisionId: record.decisionId,
    timeMs,
    allowed: record.allowed,
    who: whoOf(identity),
    action: record.action,
    method: asked.method,
    path: asked.path,
    clientIp: asked.clientIp(),
    userAgent: asked.header('user-agent'),
    steps: record.steps,
    guards: record.guards,
    reason: null,
    message: null,
    isBare: identity.authMethod === 'anonymous' && hasNothing(asked),
  }
}

/** As `factsOf`, for what no policy was asked about. */
export function factsOfRefusal(
  refusal: Refusal,
  decisionId: string,
  timeMs: number,
): DecisionFacts {
  const { identity, asked } = refusal
  return {
    decisionId,
    timeMs,
    allowed: false,
    who: identity && whoOf(identity),
    action: refusal.action,
    method: asked.method,
    path: asked.path,
    clientIp: asked.clientIp(),
    userAgent: asked.header('user-agent'),
    steps: noSteps,
    guards: noGuards,
    reason: refusal.reason,
    message: refusal.message,
    isBare: (identity === undefined || identity.authMethod === 'anonymous') && hasNothing(asked),
  }
}

function whoOf(identity: Identity): Who {
  const { id, username, groups, authMethod, tokenId, certificate, oidc } = identity
  const oidcProvider = oidc === null ? null : oidc.providerName
  return { id, username, groups, authMethod, tokenId, certificate, oidcProvider }
}

function hasNothing(asked: Asked): boolean {
  const authorization = asked.header('authorization')
  return authorization === '' || authorization === emptyLogin
}
