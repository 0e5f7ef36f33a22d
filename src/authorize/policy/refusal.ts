// Why a rule is refused when the configuration is loaded, and where in its text.

import { longerName, nearestName } from '../../config/hint.ts'

/** `policy/compile.ts` makes a configuration problem of it. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  /** The first character of what is refused, counted from 0. */
  readonly start: number

  constructor(message: string, start: number) {
    super(message)
    this.start = start
  }
}

/** `; did you mean 'x'?` where a known name is near, else nothing. */
export function hint(name: string, known: readonly string[]): string {
  const nearest = longerName(name, known) ?? nearestName(name, known)
  return nearest === undefined ? '' : `; did you mean '${nearest}'?`
}
