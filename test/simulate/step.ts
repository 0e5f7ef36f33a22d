// What one random operation of the metadata simulation is: asked of the store and of the model alike.

import { StorageError } from '../../src/storage/error.ts'
import type { ImmutableTag, IsImmutable } from '../../src/storage/metadata/usage.ts'
import type { FullStore } from '../contract/metadata-store.ts'
import type { MaintenanceModel } from './maintenance-model.ts'
import { conflict } from './metadata-model.ts'
import type { Dice, World } from './metadata-world.ts'

export interface Step {
  readonly what: string
  /** Applied in the order in which the store was asked. */
  readonly expected: unknown
  readonly actual: Promise<unknown>
}

export interface Scene {
  readonly world: World
  readonly dice: Dice
  readonly model: MaintenanceModel
  readonly store: FullStore
  /** Grows with each step; stands for the time. */
  readonly nowMs: number
}

export type Operation = (scene: Scene) => Step

export function immutability(dice: Dice): IsImmutable {
  return dice.chance(0.3) ? (tag) => tag.startsWith('v1') : () => false
}

/** Of an answer that may be a refusal, without which of several tags it names. */
export function kindOf(answer: 'removed' | 'absent' | ImmutableTag): string {
  return typeof answer === 'string' ? answer : answer.kind
}

/** A conflict is an answer here; anything else that is thrown is a failure. */
export async function outcome(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'conflict') return conflict
    throw error
  }
}
