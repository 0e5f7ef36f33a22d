// What the rules of one kind can name: their variables, and functions beside those that all rules have.

import type { ASTNode } from '@marcbachmann/cel-js'
import type { Frame } from './frame.ts'

/** `About`: what the rules decide about. */
export interface LeafOf<About> {
  readonly type: 'string' | 'int' | 'timestamp' | 'list<string>' | 'map<string, dyn>'
  readonly doc: string
  /** Undefined where there is no such part; `absent` where an identity has none. */
  readonly read: (subject: About, frame: Frame) => unknown
}

export interface RecordOf<About> {
  /** The name of its type in messages. */
  readonly type: string
  readonly fields: Readonly<Record<string, VariableOf<About>>>
  /** False where it equals null. */
  readonly isPresent: (subject: About) => boolean
}

export type VariableOf<About> = LeafOf<About> | RecordOf<About>

export interface OwnFunction<About> {
  /** As CEL declares it, such as `days(int): int`. */
  readonly declaration: string
  readonly doc: string
  /** Set where its one argument has to be written out, as a number between these. */
  readonly literal?: { readonly min: number; readonly max: number }
  readonly call: (values: readonly unknown[], frame: Frame<About>) => unknown
}

export interface Vocabulary<About> {
  /** Everything that a rule can name. */
  readonly variables: Readonly<Record<string, RecordOf<About>>>
  /** By name and number of arguments. */
  readonly functions: Readonly<Record<string, OwnFunction<About>>>
  /** What the type check lets through all the same. Errors: Refusal. */
  readonly checkTree: (root: ASTNode) => void
}

export function isRecord<About>(variable: VariableOf<About>): variable is RecordOf<About> {
  return 'fields' in variable
}

/** Never what an object inherits. */
export function ownEntry<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined
}
