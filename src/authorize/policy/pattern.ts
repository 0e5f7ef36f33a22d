// `matches`, in time that is linear in the text whatever the pattern: by re2js, never by the engine's RegExp.

import { RE2JS } from 're2js'
import type { Frame } from './frame.ts'
import { limits } from './limits.ts'

/** True where the pattern is found in the text. Errors: RuleFault for a text that is too long. */
export type Matches = (text: string, frame: Frame) => boolean

/**
 * Errors: Error whose message says what is wrong with the pattern.
 * Source: RE2 syntax, without look-around and back-references.
 */
export function compilePattern(pattern: string): Matches {
  const compiled = RE2JS.compile(pattern)
  const size = compiled.programSize()
  if (size > limits.patternSizeMax) {
    throw new Error(
      `the pattern compiles to ${size} instructions, more than ${limits.patternSizeMax}: write it without large counts such as {1000}`,
    )
  }
  return (text, frame) => {
    if (text.length > limits.matchedLengthMax) {
      throw frame.fault(`matches: the text is longer than ${limits.matchedLengthMax} characters`)
    }
    // A step of the automaton: 50 ns where it is new, and a hundredth of that once it is known.
    frame.charge((size * (text.length + 1)) >> 1)
    return compiled.test(text)
  }
}
