// The text of an access rule → its expression, or what is wrong with it.

import { checkActionNames } from './action-names.ts'
import type { Subject } from './frame.ts'
import { type CheckRule, createRuleCheck } from './rule-check.ts'
import { variables } from './variables.ts'

/** Errors: Refusal. */
export const checkRule: CheckRule<Subject> = createRuleCheck({
  variables,
  functions: {},
  checkTree: checkActionNames,
})
