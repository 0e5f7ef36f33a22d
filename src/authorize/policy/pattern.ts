// `matches`, in time that is linear in the text whatever the pattern: never by the engine's RegExp.

import { compilePattern as compile } from '../../pattern/compile.ts'
import type { Frame } from './frame.ts'
import { limits } from './limits.ts'

/** True where the pattern is found in the text. Errors: RuleFault for a text that is too long. */
export type Matches = (text: string, frame: Frame) => boolean

/**
 * Errors: Error whose message says what is wrong with the pattern.
 * Source: RE2 syntax, without look-around and back-references.
 */
export function compilePattern(pattern: string): Matches {
  const compiled = compile(pattern, limits.patternSizeMax)
  return (text, frame) => {
    if (text.length > limits.matchedLengthMax) {
      throw frame.fault(`matches: the text is longer than ${limits.matchedLengthMax} characters`)
    }
    // A step of the automaton: 50 ns where it is new, and a hundredth of that once it is known.
    frame.charge((compiled.size * (text.length + 1)) >> 1)
    return compiled.isIn(text)
  }
}
