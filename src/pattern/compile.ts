// Patterns of the configuration and of rules: RE2 syntax, matched in time that is linear in the text.

import { RE2JS } from 're2js'

export interface Pattern {
  /** Instructions that it compiled to; the time for one character grows with them. */
  readonly size: number
  /** Whether it is found anywhere in the text. */
  isIn(text: string): boolean
  /** Whether it matches the text from its first to its last character. */
  matches(text: string): boolean
}

const sizeMaxByDefault = 1_000

/**
 * Limits: `sizeMax` instructions, since nested counts multiply. Errors: Error whose message says what is
 * wrong with the text. Source: RE2 syntax, without look-around and back-references.
 */
export function compilePattern(text: string, sizeMax: number = sizeMaxByDefault): Pattern {
  const compiled = RE2JS.compile(text)
  const size = compiled.programSize()
  if (size > sizeMax) {
    throw new Error(
      `the pattern compiles to ${size} instructions, more than ${sizeMax}: write it without large counts such as {1000}`,
    )
  }
  return {
    size,
    isIn: (subject) => compiled.test(subject),
    matches: (subject) => compiled.testExact(subject),
  }
}
