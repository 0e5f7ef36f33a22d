// What an action of the model test is, and what it stands on.

import assert from 'node:assert/strict'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import type { Dice } from '../../support/dice.ts'
import type { MaintainScene } from '../../support/maintain.ts'
import { type Answer, assertStatus } from '../../support/registry-client.ts'
import type { Model, Presence, RepositoryModel } from './model.ts'
import type { World } from './world.ts'

export interface Client {
  readonly world: World
  readonly model: Model
  readonly dice: Dice
  readonly scene: MaintainScene
  /** Uploads that were begun, by their place. */
  readonly sessions: Map<string, Session>
  /** Repositories in which an action is under way. */
  readonly busy: Set<string>
  /** What clients have deleted, and operators brought back, since the last job began; see `placeOf`. */
  readonly touched: Set<string>
  /** As an operator asks for it; what was done. */
  readonly restoreTag: (repository: string, tag: string, to: Digest) => Promise<Restored>
}

export interface Restored {
  readonly status: number
  readonly deeds: readonly JobDeed[]
}

export interface Session {
  readonly repository: string
  readonly blob: Digest
  /** Bytes that were acknowledged. */
  offset: number
}

export interface Action {
  readonly what: string
  /** In which the outcome may differ by what else is under way. */
  readonly repositories: readonly string[]
  run(): Promise<void>
  /** The process died of it, or beside it: look what became of it. */
  settle(): Promise<void>
}

export type Deal = (client: Client, repository: RepositoryModel) => Action | undefined

export function placeOf(repository: string, digest: Digest): string {
  return `${repository} ${digest}`
}

/** Whether it was there. */
export function assertPresence(
  answer: Answer,
  expected: Presence,
  there: number,
  gone: number,
): boolean {
  if (expected === 'there') assertStatus(answer, there, 'what is there')
  if (expected === 'gone') assertStatus(answer, gone, 'what is gone')
  assert.ok([there, gone].includes(answer.status), `${answer.status}: ${answer.body}`)
  return answer.status === there
}
