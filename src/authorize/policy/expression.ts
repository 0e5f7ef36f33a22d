// The syntax tree of a checked expression → a function. The parser's own evaluator is not used: it can
// neither be charged for its work nor kept from the built-in `matches`, which backtracks.

import type { ASTNode } from '@marcbachmann/cel-js'
import { comprehensions, truth } from './comprehension.ts'
import { type Evaluate, isAbsorbable, type RuleFault } from './frame.ts'
import { globalFunctions, methods } from './functions.ts'
import { limits } from './limits.ts'
import { binaryOperators, elementOf, negated, stringOf } from './operators.ts'
import { isPathPresent, keyOf, type Path, pathOf, readPath, type Scope } from './path.ts'
import { compilePattern } from './pattern.ts'
import { Refusal } from './refusal.ts'
import { absent, entryOf, isMap, typeName } from './value.ts'
import { type OwnFunction, ownEntry, type Vocabulary } from './vocabulary.ts'

export interface Expression<About> {
  readonly evaluate: Evaluate<About>
  /** What one evaluation costs without its loops. */
  readonly nodes: number
  /** The paths that it may read, such as `request.repository`. */
  readonly reads: ReadonlySet<string>
  /** Of the vocabulary's own functions. */
  readonly calls: readonly OwnCall[]
}

/** A call that an evaluation may come to. */
export interface OwnCall {
  readonly name: string
  /** Its argument, where that has to be written out. */
  readonly literal?: number
}

/** Errors: Refusal for what the type check lets through and rules may not have. */
export function compileExpression<About>(
  root: ASTNode,
  vocabulary: Vocabulary<About>,
): Expression<About> {
  const compiler = new Compiler(vocabulary)
  const evaluate = compiler.compile(root, [])
  const { nodes, reads, calls } = compiler
  return { evaluate, nodes, reads, calls }
}

class Compiler<About> {
  readonly reads = new Set<string>()
  readonly calls: OwnCall[] = []
  nodes = 0
  readonly #vocabulary: Vocabulary<About>

  constructor(vocabulary: Vocabulary<About>) {
    this.#vocabulary = vocabulary
  }

  compile(node: ASTNode, scope: Scope): Evaluate<About> {
    this.nodes += 1
    switch (node.op) {
      case 'value':
        return literal(node)
      case 'id':
        return this.#identifier(node, node.args, scope)
      case '.':
      case '[]':
        return this.#selection(node, scope)
      case 'call':
        return this.#call(node, scope)
      case 'rcall':
        return this.#methodCall(node, scope)
      case 'list': {
        this.nodes += node.args.length
        const items = node.args.map((item) => this.compile(item, scope))
        return (frame) => items.map((item) => item(frame))
      }
      case 'map':
        return this.#map(node.args, scope)
      case '?:': {
        const [condition, whenTrue, whenFalse] = node.args.map((part) => this.compile(part, scope))
        if (!(condition && whenTrue && whenFalse))
          throw new Refusal('?: needs three parts', node.pos)
        return (frame) => (truth(condition(frame), frame) ? whenTrue(frame) : whenFalse(frame))
      }
      case '||':
      case '&&':
        return this.#logical(node.args, node.op === '||', scope)
      case '!_': {
        const operand = this.compile(node.args, scope)
        return (frame) => !truth(operand(frame), frame)
      }
      case '-_': {
        const operand = this.compile(node.args, scope)
        return (frame) => negated(operand(frame), frame)
      }
      case '.?':
      case '[?]':
        throw new Refusal('optional selection is not available in rules', node.pos)
      default:
        return this.#binary(node, scope)
    }
  }

  #identifier(node: ASTNode, name: string, scope: Scope): Evaluate<About> {
    const slot = scope.lastIndexOf(name)
    if (slot !== -1) return (frame) => frame.slots[slot]
    const path = this.#pathOf(node, scope)
    if (path !== undefined) return readPath(path, node)
    throw new Refusal(`'${name}' is not available in rules`, node.pos)
  }

  #selection(node: Extract<ASTNode, { op: '.' | '[]' }>, scope: Scope): Evaluate<About> {
    const path = this.#path(node, scope)
    if (path !== undefined) return readPath(path, node)
    const base = this.compile(node.args[0], scope)
    if (node.op === '.') {
      const [, key] = node.args
      return (frame) => elementOf(base(frame), key, frame)
    }
    const key = this.compile(node.args[1], scope)
    return (frame) => elementOf(base(frame), key(frame), frame)
  }

  // A path is one step at run time; what it may read is noted for the memo of decisions.
  #path(node: ASTNode, scope: Scope): Path<About> | undefined {
    const path = this.#pathOf(node, scope)
    if (path !== undefined) this.reads.add(path.name)
    return path
  }

  #pathOf(node: ASTNode, scope: Scope): Path<About> | undefined {
    return pathOf(node, scope, this.#vocabulary.variables)
  }

  #call(node: Extract<ASTNode, { op: 'call' }>, scope: Scope): Evaluate<About> {
    const [name, args] = node.args
    const [first] = args
    if (name === 'has' && first !== undefined) return this.#presence(first, scope)
    const call = this.#functionOf(node)
    if (call === undefined) throw new Refusal(`the function ${name}() is not available`, node.pos)
    const values = args.map((arg) => this.compile(arg, scope))
    return (frame) =>
      call(
        values.map((value) => value(frame)),
        frame,
      )
  }

  #functionOf(node: Extract<ASTNode, { op: 'call' }>): OwnFunction<About>['call'] | undefined {
    const [name, args] = node.args
    const signature = `${name}/${args.length}`
    const own = ownEntry(this.#vocabulary.functions, signature)
    if (own === undefined) return ownEntry(globalFunctions, signature)
    const { literal } = own
    this.calls.push(
      literal === undefined ? { name } : { name, literal: writtenNumber(name, args[0], literal) },
    )
    return own.call
  }

  #methodCall(node: Extract<ASTNode, { op: 'rcall' }>, scope: Scope): Evaluate<About> {
    const [name, receiver, args] = node.args
    const signature = `${name}/${args.length}`
    if (name === 'matches') return this.#matches(node, receiver, args[0], scope)
    if (Object.hasOwn(comprehensions, signature)) {
      return this.#comprehension(node, signature, scope)
    }
    const call = ownEntry(methods, signature)
    if (call === undefined) throw new Refusal(`the method ${name}() is not available`, node.pos)
    const values = [receiver, ...args].map((value) => this.compile(value, scope))
    return (frame) =>
      call(
        values.map((value) => value(frame)),
        frame,
      )
  }

  #matches(
    node: ASTNode,
    receiver: ASTNode,
    pattern: ASTNode | undefined,
    scope: Scope,
  ): Evaluate<About> {
    if (pattern?.op !== 'value' || typeof pattern.args !== 'string') {
      throw new Refusal('matches() needs its pattern as a string in quotes', (pattern ?? node).pos)
    }
    const text = this.compile(receiver, scope)
    try {
      const matches = compilePattern(pattern.args)
      return (frame) => matches(stringOf(text(frame), frame), frame)
    } catch (error) {
      throw new Refusal(error instanceof Error ? error.message : String(error), pattern.pos)
    }
  }

  #comprehension(
    node: Extract<ASTNode, { op: 'rcall' }>,
    signature: string,
    scope: Scope,
  ): Evaluate<About> {
    if (scope.length >= limits.comprehensionNestingMax) {
      const message = `comprehensions may be nested ${limits.comprehensionNestingMax} deep`
      throw new Refusal(message, node.pos)
    }
    const [, receiver, [variable, ...rest]] = node.args
    const range = this.compile(receiver, scope)
    const name = variable?.op === 'id' ? variable.args : undefined
    const build = comprehensions[signature]
    const before = this.nodes
    const [first, second] = rest.map((body) => this.compile(body, [...scope, name ?? '']))
    if (name === undefined || first === undefined || build === undefined) {
      throw new Refusal('a comprehension needs the name of a variable first', node.pos)
    }
    const work = this.nodes - before + 2
    return build({ range, slot: scope.length, bodies: [first, second], work })
  }

  // False where any part of the path is missing, and not only the last.
  #presence(node: ASTNode, scope: Scope): Evaluate<About> {
    this.nodes += 1
    const path = this.#path(node, scope)
    if (path !== undefined) return isPathPresent(path)
    const value = this.#optional(node, scope)
    return (frame) => value(frame) !== undefined
  }

  #optional(node: ASTNode, scope: Scope): Evaluate<About> {
    const key = keyOf(node)
    const isPath = this.#pathOf(node, scope) !== undefined
    if (key === undefined || isPath || (node.op !== '.' && node.op !== '[]')) {
      const value = this.compile(node, scope)
      return isPath ? (frame) => presentOrNot(value(frame)) : value
    }
    this.nodes += 1
    const base = this.#optional(node.args[0], scope)
    return (frame) => {
      const map = base(frame)
      if (map === undefined) return undefined
      if (isMap(map)) return entryOf(map, key)
      throw frame.fault(`${typeName(map)} has no fields`)
    }
  }

  #map(entries: readonly (readonly [ASTNode, ASTNode])[], scope: Scope): Evaluate<About> {
    this.nodes += 4 * entries.length
    const parts = entries.map(
      ([key, value]) => [this.compile(key, scope), this.compile(value, scope)] as const,
    )
    return (frame) => new Map(parts.map(([key, value]) => [key(frame), value(frame)]))
  }

  // The side that decides is enough, even if the other failed. Source: CEL spec "Logical Operators".
  #logical(
    [left, right]: readonly [ASTNode, ASTNode],
    decisive: boolean,
    scope: Scope,
  ): Evaluate<About> {
    const first = this.compile(left, scope)
    const second = this.compile(right, scope)
    return (frame) => {
      let failure: RuleFault | undefined
      try {
        if (truth(first(frame), frame) === decisive) return decisive
      } catch (error) {
        if (!isAbsorbable(error)) throw error
        failure = error
      }
      if (truth(second(frame), frame) === decisive) return decisive
      if (failure !== undefined) throw failure
      return !decisive
    }
  }

  #binary(node: BinaryNode, scope: Scope): Evaluate<About> {
    const operator = binaryOperators[node.op]
    if (operator === undefined) throw new Refusal(`${node.op} is not available in rules`, node.pos)
    const [left, right] = node.args
    if (node.op === '==' || node.op === '!=') {
      const subject = isNull(right) ? left : isNull(left) ? right : undefined
      const path = subject && this.#path(subject, scope)
      if (path !== undefined) {
        const isPresent = isPathPresent(path)
        return node.op === '!=' ? isPresent : (frame) => isPresent(frame) === false
      }
    }
    const first = this.compile(left, scope)
    const second = this.compile(right, scope)
    return (frame) => operator(first(frame), second(frame), frame)
  }
}

type BinaryNode = Extract<ASTNode, { args: [ASTNode, ASTNode] }>

function literal(node: Extract<ASTNode, { op: 'value' }>): Evaluate<unknown> {
  const value = node.args
  if (typeof value === 'object' && value !== null) {
    throw new Refusal('bytes and unsigned numbers are not available in rules', node.pos)
  }
  return () => value
}

function isNull(node: ASTNode): boolean {
  return node.op === 'value' && node.args === null
}

function presentOrNot(value: unknown): unknown {
  return value === absent ? undefined : value
}

function writtenNumber(
  name: string,
  node: ASTNode | undefined,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = node?.op === 'value' ? Number(node.args) : Number.NaN
  if (typeof node?.args === 'bigint' && value >= min && value <= max) return value
  const message = `${name}() needs its number written out, from ${min} to ${max}`
  throw new Refusal(message, node?.pos ?? 0)
}
