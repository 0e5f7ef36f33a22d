// How large a rule and what it reads may be, so that the worst legal rule ends within 5 ms.

/** Source: test/authorize/cost.test.ts measures what they add up to. */
export const limits = {
  /** Characters of one rule. */
  expressionLengthMax: 8192,
  /** Nodes of a rule's syntax tree. */
  nodesMax: 1000,
  /** Parentheses, selections and calls inside one another. */
  depthMax: 48,
  /** Elements that one list literal, or entries that one map literal, may have. */
  literalElementsMax: 256,
  /** `exists`, `all`, `exists_one`, `filter` and `map` inside one another. */
  comprehensionNestingMax: 2,
  /** Elements of any list that a rule searches, joins or goes through. */
  listElementsMax: 256,
  /** Characters of a string that a rule makes. */
  textLengthMax: 65_536,
  /** Of an identity's claims, as JSON. */
  claimsBytesMax: 16_384,
  /** Lists and objects of the claims inside one another. */
  claimsDepthMax: 32,
  /** Instructions of a compiled regular expression. */
  patternSizeMax: 192,
  /** Characters of a text that is matched against a regular expression. */
  matchedLengthMax: 512,
  /** Rules of one policy. */
  rulesMax: 256,
  /** Work of one rule, in units of 10 to 50 ns once compiled: nodes evaluated, characters and elements touched. */
  workMax: 50_000,
} as const
