// One evaluation under way: what it is about, and how much work the rule may still do.

import type { Identity } from '../../authenticate/identity.ts'
import type { Action } from '../../route/action.ts'
import { limits } from './limits.ts'

/** What an access policy decides about. */
export interface Subject {
  readonly identity: Identity
  readonly action: Action
  /** Asked only by rules that read it. */
  readonly clientIp: () => string
}

/**
 * A rule that could not be evaluated. `||`, `&&`, `exists` and `all` may do without the failed part.
 * Not an Error, whose stack would cost 15 µs, and a loop may have to catch hundreds.
 */
export class RuleFault {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }
}

/** A rule that was cut off. Nothing inside the rule may hide it. */
export class RuleCutOff extends RuleFault {}

/** Whether an expression may do without the part that threw this. */
export function isAbsorbable(thrown: unknown): thrown is RuleFault {
  return thrown instanceof RuleFault && !(thrown instanceof RuleCutOff)
}

const faultWork = 100

/** The state of one evaluation. Work is counted, not timed, so that equal requests get equal answers. */
export class Frame<About = unknown> {
  readonly subject: About
  /** The values of comprehension variables, outermost first. */
  readonly slots: unknown[] = []
  #work = 0

  constructor(subject: About) {
    this.subject = subject
  }

  /** Begin a rule, whose every node is evaluated once but for comprehensions. */
  begin(nodes: number): void {
    this.#work = nodes
  }

  get work(): number {
    return this.#work
  }

  /** Errors: RuleCutOff. */
  charge(units: number): void {
    this.#work += units
    if (this.#work > limits.workMax) {
      throw new RuleCutOff('the rule is too much work and was cut off')
    }
  }

  /** Errors: RuleCutOff. */
  fault(message: string): RuleFault {
    this.charge(faultWork)
    return new RuleFault(message)
  }
}

/** A compiled expression. Errors: RuleFault, RuleCutOff. */
export type Evaluate<About> = (frame: Frame<About>) => unknown
