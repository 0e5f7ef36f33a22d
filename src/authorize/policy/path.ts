// `request.…`, `identity.…` and the like in an expression → the row of their table.

import type { ASTNode } from '@marcbachmann/cel-js'
import type { Evaluate } from './frame.ts'
import { Refusal } from './refusal.ts'
import { absent } from './value.ts'
import { isRecord, ownEntry, type VariableOf, type Vocabulary } from './vocabulary.ts'

export interface Path<About> {
  /** Such as `identity.certificate.serial`. */
  readonly name: string
  readonly variable: VariableOf<About>
}

/** The names of comprehension variables around an expression, outermost first. */
export type Scope = readonly string[]

/**
 * What a chain of selections names in the table, or undefined where it is another expression.
 * Errors: Refusal for a field that a record does not have, or one that is chosen at run time.
 */
export function pathOf<About>(
  node: ASTNode,
  scope: Scope,
  variables: Vocabulary<About>['variables'],
): Path<About> | undefined {
  if (node.op === 'id') {
    const variable = scope.includes(node.args) ? undefined : ownEntry(variables, node.args)
    return variable && { name: node.args, variable }
  }
  if (node.op !== '.' && node.op !== '[]') return undefined
  const base = pathOf(node.args[0], scope, variables)
  if (base === undefined || !isRecord(base.variable)) return undefined
  const key = keyOf(node)
  if (key === undefined) throw new Refusal(`${base.name}[…] needs a field name in quotes`, node.pos)
  const variable = ownEntry(base.variable.fields, key)
  if (variable === undefined) throw new Refusal(`${base.name} has no field '${key}'`, node.pos)
  return { name: `${base.name}.${key}`, variable }
}

/** The key of `x.key` and `x['key']`; undefined where it is computed. */
export function keyOf(node: ASTNode): string | undefined {
  if (node.op === '.') return node.args[1]
  if (node.op !== '[]') return undefined
  const index = node.args[1]
  return index.op === 'value' && typeof index.args === 'string' ? index.args : undefined
}

/** The value of a path that must be there. */
export function readPath<About>({ name, variable }: Path<About>, node: ASTNode): Evaluate<About> {
  if (isRecord(variable)) {
    throw new Refusal(`${name} has fields: name one of them, or compare it with null`, node.pos)
  }
  return (frame) => {
    const value = variable.read(frame.subject, frame)
    if (value === undefined) throw frame.fault(`${name} is not set for this action`)
    return value
  }
}

/** Whether the path is there. */
export function isPathPresent<About>({ variable }: Path<About>): Evaluate<About> {
  if (isRecord(variable)) return (frame) => variable.isPresent(frame.subject)
  return (frame) => {
    const value = variable.read(frame.subject, frame)
    return value !== undefined && value !== absent
  }
}
