// The text of a rule → its expression, type-checked against the variables; or what is wrong with it.

import {
  type ASTNode,
  type TypeError as CheckError,
  Environment,
  ParseError,
  type ParseResult,
} from '@marcbachmann/cel-js'
import { checkActionNames } from './action-names.ts'
import { compileExpression, type Expression } from './expression.ts'
import { functionNames } from './functions.ts'
import { limits } from './limits.ts'
import { keyOf, pathOf } from './path.ts'
import { hint, Refusal } from './refusal.ts'
import { isRecord, type RecordVariable, type Variable, variables } from './variables.ts'

// What this environment registers is never called: expressions are checked here and evaluated by
// `compileExpression`.
const environment = createEnvironment()

/** Errors: Refusal. */
export function checkRule(text: string): Expression {
  if (text.trim() === '') throw new Refusal('the rule is empty', 0)
  if (text.length > limits.expressionLengthMax) {
    const message = `the rule has ${text.length} characters, more than ${limits.expressionLengthMax}`
    throw new Refusal(message, 0)
  }
  const parsed = parse(text)
  const checked = parsed.check()
  if (checked.error !== undefined) throw explain(checked.error)
  // What claims hold is known only when they come; a rule that then is no bool fails.
  if (checked.type !== 'bool' && checked.type !== 'dyn') {
    throw new Refusal(`a rule must be a bool, and this is of type ${checked.type}`, 0)
  }
  checkActionNames(parsed.ast)
  return compileExpression(parsed.ast)
}

function parse(text: string): ParseResult {
  try {
    return environment.parse(text)
  } catch (error) {
    if (error instanceof ParseError) throw explain(error)
    throw error
  }
}

function explain(error: ParseError | CheckError): Refusal {
  const { code, node, summary, range } = error
  const start = range?.start ?? 0
  // The type of the node depends on which of the two errors it is; both hold a tree's node or a place.
  const at = node !== undefined && 'op' in node ? (node as ASTNode) : undefined
  return new Refusal((at && named(code, at)) ?? decapitalized(summary), start)
}

/** The faults that are mostly a misspelt name. */
function named(code: string, node: ASTNode): string | undefined {
  switch (code) {
    case 'unknown_variable': {
      if (node.op !== 'id') return undefined
      const known = Object.keys(variables)
      return `there is no variable '${node.args}'${hint(node.args, known)}`
    }
    case 'no_such_key': {
      const key = keyOf(node)
      const base = node.op === '.' || node.op === '[]' ? pathOf(node.args[0], []) : undefined
      if (key === undefined || base === undefined || !isRecord(base.variable)) return undefined
      return `${base.name} has no field '${key}'${hint(key, Object.keys(base.variable.fields))}`
    }
    case 'no_matching_overload': {
      const name = node.op === 'call' || node.op === 'rcall' ? node.args[0] : undefined
      if (name === undefined || functionNames.includes(name)) return undefined
      return `there is no function '${name}'${hint(name, functionNames)}`
    }
    default:
      return undefined
  }
}

function decapitalized(sentence: string): string {
  return sentence.slice(0, 1).toLowerCase() + sentence.slice(1)
}

function createEnvironment(): Environment {
  const created = new Environment({
    unlistedVariablesAreDyn: false,
    limits: {
      maxAstNodes: limits.nodesMax,
      maxDepth: limits.depthMax,
      maxListElements: limits.literalElementsMax,
      maxMapEntries: limits.literalElementsMax,
      maxCallArguments: 8,
    },
  })
  created.registerFunction('list<V>.contains(V): bool', uncalled)
  for (const type of ['string', 'int', typeNameOf('timestamp')]) {
    created.registerOperator(`${type} == null`, uncalled)
  }
  for (const [name, variable] of Object.entries(variables)) {
    registerRecord(created, variable)
    created.registerVariable(name, variable.type)
  }
  return created
}

function registerRecord(created: Environment, record: RecordVariable): void {
  const fields: Record<string, string> = {}
  for (const [name, field] of Object.entries(record.fields)) {
    if (isRecord(field)) registerRecord(created, field)
    fields[name] = typeNameOf(field.type)
  }
  created.registerType(record.type, { fields })
  created.registerOperator(`${record.type} == null`, uncalled)
}

function typeNameOf(type: Variable['type']): string {
  return type === 'timestamp' ? 'google.protobuf.Timestamp' : type
}

function uncalled(): never {
  throw new Error('rules are evaluated by their own functions')
}
