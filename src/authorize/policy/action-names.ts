// Finds names of actions that do not exist: a rule that compares with one would silently never hold.

import type { ASTNode } from '@marcbachmann/cel-js'
import { pathOf } from './path.ts'
import { hint, Refusal } from './refusal.ts'
import { knownActions, variables } from './variables.ts'

/** Errors: Refusal at the first literal that `request.action` is compared with and cannot be. */
export function checkActionNames(node: ASTNode): void {
  checkActionPart(node)
  for (const literal of comparedWithAction(node)) {
    if (literal.op !== 'value' || typeof literal.args !== 'string') continue
    if (knownActions.includes(literal.args)) continue
    const message = `there is no action '${literal.args}'${hint(literal.args, knownActions)}`
    throw new Refusal(message, literal.pos)
  }
  for (const child of childrenOf(node)) checkActionNames(child)
}

function comparedWithAction(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case '==':
    case '!=': {
      const [left, right] = node.args
      if (isAction(left)) return [right]
      return isAction(right) ? [left] : []
    }
    case 'in':
      return isAction(node.args[0]) ? elements(node.args[1]) : []
    case 'rcall': {
      const [name, receiver, [sought]] = node.args
      const isSearch = name === 'contains' && sought !== undefined && isAction(sought)
      return isSearch ? elements(receiver) : []
    }
    default:
      return []
  }
}

const partTests: Readonly<Record<string, (name: string, part: string) => boolean>> = {
  startsWith: (name, start) => name.startsWith(start),
  endsWith: (name, end) => name.endsWith(end),
  contains: (name, part) => name.includes(part),
}

function checkActionPart(node: ASTNode): void {
  if (node.op !== 'rcall' || !isAction(node.args[1])) return
  const [method, , [literal]] = node.args
  const isPart = Object.hasOwn(partTests, method) ? partTests[method] : undefined
  if (isPart === undefined || literal?.op !== 'value' || typeof literal.args !== 'string') return
  const { args: part, pos } = literal
  if (knownActions.some((name) => isPart(name, part))) return
  throw new Refusal(`${method}('${part}') holds for no action`, pos)
}

function isAction(node: ASTNode): boolean {
  const isSelection = node.op === '.' || node.op === '[]'
  return isSelection && pathOf(node, [], variables)?.name === 'request.action'
}

function elements(node: ASTNode): readonly ASTNode[] {
  return node.op === 'list' ? node.args : []
}

function childrenOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return []
    case '.':
    case '.?':
      return [node.args[0]]
    case 'call':
      return node.args[1]
    case 'rcall':
      return [node.args[1], ...node.args[2]]
    case 'map':
      return node.args.flat()
    case '!_':
    case '-_':
      return [node.args]
    default:
      return node.args
  }
}
