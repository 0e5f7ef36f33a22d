// What a step beyond the policies is: another service that has to allow a request too.

import type { Identity } from '../authenticate/identity.ts'
import type { Action } from '../route/action.ts'

/** The request around an action, as those who decide may see it. */
export interface Asked {
  /** Upper case. */
  readonly method: string
  /** As sent, without the query. */
  readonly path: string
  /** As sent, without `?`; '' where there is none. */
  readonly query: string
  readonly isSecure: boolean
  /** Value of a header, by lower-case name; '' where absent. */
  header(name: string): string
  /** The client's address, seen through trusted proxies. */
  clientIp(): string
}

export interface Question {
  readonly identity: Identity
  readonly action: Action
  readonly asked: Asked
}

/** `unavailable`: did not answer in time, not as agreed, or was not asked since it was away. */
export type VerdictResult = 'allow' | 'deny' | 'unavailable'

export interface Verdict {
  readonly result: VerdictResult
  /** Remembered from an earlier request that was the same. */
  readonly isCached: boolean
  /** For the audit log and the admin API, never for the caller; null where none was given. */
  readonly reason: string | null
  /** What the service calls its decision, where it says so. */
  readonly decisionId: string | null
}

/** Contract: test/authorize/guard-contract.ts runs on every kind. */
export interface Guard {
  /** Its table in the configuration, such as `auth.webhook.scanner`. */
  readonly name: string
  /**
   * Never throws or rejects: whatever goes wrong is `unavailable`, which denies. What it needs of
   * `asked` it reads before it returns. At once where the verdict is remembered.
   */
  ask(question: Question): Verdict | Promise<Verdict>
}

/** How a guard answered, for the record of a decision. */
export interface GuardStep {
  readonly guard: string
  readonly verdict: Verdict
}

/** Which guards an action must pass, in order; the same array for the same action's repository. */
export interface Guards {
  guardsFor(action: Action): readonly Guard[]
}
