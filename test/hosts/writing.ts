// Writes of clients that enter each attempt in the model before it is sent.

import type { Register, Write } from '../crash/register.ts'
import type { Dice } from '../support/dice.ts'
import { type Answer, assertStatus } from '../support/registry-client.ts'
import type { AskOptions, Caller } from './weather.ts'

const givesUpShare = 0.3

/** A register that an operation gives a value. */
export interface Change {
  begin(): Write
}

export function change<Value>(register: Register<Value>, to: Value): Change {
  return { begin: () => register.begin(to) }
}

export interface WriteOptions extends AskOptions {
  readonly changes: readonly Change[]
  readonly status: number
  /** What it is told after an attempt of which nobody has heard: it was that one. */
  readonly statusAgain?: number
  /** Another answer, after which nothing has changed. */
  readonly refusal?: number
  readonly send: Parameters<Caller['ask']>[1]
}

export class Writing {
  readonly caller: Caller
  readonly dice: Dice

  constructor(caller: Caller, dice: Dice) {
    this.caller = caller
    this.dice = dice
  }

  /**
   * Each attempt is a write of its own, since one that nobody has heard of may still happen after the answer to another.
   * What was answered last; undefined where that was nothing. Errors: AssertionError for any other answer.
   */
  async write(what: string, options: WriteOptions): Promise<Answer | undefined> {
    const { changes, mayBeBusy = false, refusal, send, status, statusAgain } = options
    for (let isAgain = false; ; isAgain = true) {
      const writes = changes.map((part) => part.begin())
      const answer = await this.caller.ask(what, send, { mayBeBusy })
      if (answer === undefined) {
        if (mayBeBusy || this.dice.chance(givesUpShare)) return undefined
        await this.caller.backOff()
        continue
      }
      const isDone = answer.status === status || (isAgain && answer.status === statusAgain)
      for (const write of writes) {
        if (isDone) write.done()
        else write.undone()
      }
      if (!isDone && answer.status !== refusal) assertStatus(answer, status, what)
      return answer
    }
  }
}
