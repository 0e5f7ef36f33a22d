// What damage is: something done to one repository, and what each run of a scrub has to say of it.

import type { FindingKind, Outcome } from '../../../src/maintain/scrub/finding.ts'
import type { Place } from './place.ts'

export interface Expected {
  readonly kind: FindingKind
  readonly what: string
  /** Undefined: that run does not find it. */
  readonly dry: Outcome | undefined
  readonly real: Outcome | undefined
  /** In the run after it. */
  readonly again?: Outcome
  /** With a peer that has everything, `real` is healed. */
  readonly healed?: true
  /** As what it still waits in the run after it. */
  readonly waiting?: string
}

export type Damage = (place: Place) => Promise<readonly Expected[]>
