// The text of a rule → its expression, type-checked against a vocabulary; or what is wrong with it.

import {
  type ASTNode,
  type TypeError as CheckError,
  Environment,
  ParseError,
} from '@marcbachmann/cel-js'
import { compileExpression, type Expression } from './expression.ts'
import { functionNames } from './functions.ts'
import { limits } from './limits.ts'
import { keyOf, pathOf } from './path.ts'
import { hint, Refusal } from './refusal.ts'
import { isRecord, type RecordOf, type VariableOf, type Vocabulary } from './vocabulary.ts'

/** Errors: Refusal. */
export type CheckRule<About> = (text: string) => Expression<About>

/** Limits: `policy/limits.ts`. */
export function createRuleCheck<About>(vocabulary: Vocabulary<About>): CheckRule<About> {
  // What this environment registers is never called: expressions are checked here and evaluated by
  // `compileExpression`.
  const environment = createEnvironment(vocabulary)
  return (text) => {
    if (text.trim() === '') throw new Refusal('the rule is empty', 0)
    if (text.length > limits.expressionLengthMax) {
      const message = `the rule has ${text.length} characters, more than ${limits.expressionLengthMax}`
      throw new Refusal(message, 0)
    }
    const parsed = explained(vocabulary, () => environment.parse(text))
    const checked = parsed.check()
    if (checked.error !== undefined) throw explain(checked.error, vocabulary)
    // What claims hold is known only when they come; a rule that then is no bool fails.
    if (checked.type !== 'bool' && checked.type !== 'dyn') {
      throw new Refusal(`a rule must be a bool, and this is of type ${checked.type}`, 0)
    }
    vocabulary.checkTree(parsed.ast)
    return compileExpression(parsed.ast, vocabulary)
  }
}

function explained<About, T>(vocabulary: Vocabulary<About>, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof ParseError) throw explain(error, vocabulary)
    throw error
  }
}

function explain<About>(error: ParseError | CheckError, vocabulary: Vocabulary<About>): Refusal {
  const { code, node, summary, range } = error
  const start = range?.start ?? 0
  // The type of the node depends on which of the two errors it is; both hold a tree's node or a place.
  const at = node !== undefined && 'op' in node ? (node as ASTNode) : undefined
  return new Refusal((at && named(code, at, vocabulary)) ?? decapitalized(summary), start)
}

/** The faults that are mostly a misspelt name. */
function named<About>(
  code: string,
  node: ASTNode,
  { variables, functions }: Vocabulary<About>,
): string | undefined {
  switch (code) {
    case 'unknown_variable': {
      if (node.op !== 'id') return undefined
      const known = Object.keys(variables)
      return `there is no variable '${node.args}'${hint(node.args, known)}`
    }
    case 'no_such_key': {
      const key = keyOf(node)
      const base =
        node.op === '.' || node.op === '[]' ? pathOf(node.args[0], [], variables) : undefined
      if (key === undefined || base === undefined || !isRecord(base.variable)) return undefined
      return `${base.name} has no field '${key}'${hint(key, Object.keys(base.variable.fields))}`
    }
    case 'no_matching_overload': {
      const name = node.op === 'call' || node.op === 'rcall' ? node.args[0] : undefined
      const known = [...functionNames, ...Object.keys(functions).map(nameOf)]
      if (name === undefined || known.includes(name)) return undefined
      return `there is no function '${name}'${hint(name, known)}`
    }
    default:
      return undefined
  }
}

function nameOf(signature: string): string {
  return signature.slice(0, signature.indexOf('/'))
}

function decapitalized(sentence: string): string {
  return sentence.slice(0, 1).toLowerCase() + sentence.slice(1)
}

function createEnvironment<About>({ variables, functions }: Vocabulary<About>): Environment {
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
  for (const { declaration } of Object.values(functions)) {
    created.registerFunction(declaration, uncalled)
  }
  return created
}

function registerRecord<About>(created: Environment, record: RecordOf<About>): void {
  const fields: Record<string, string> = {}
  for (const [name, field] of Object.entries(record.fields)) {
    if (isRecord(field)) registerRecord(created, field)
    fields[name] = typeNameOf(field.type)
  }
  created.registerType(record.type, { fields })
  created.registerOperator(`${record.type} == null`, uncalled)
}

function typeNameOf<About>(type: VariableOf<About>['type']): string {
  return type === 'timestamp' ? 'google.protobuf.Timestamp' : type
}

function uncalled(): never {
  throw new Error('rules are evaluated by their own functions')
}
