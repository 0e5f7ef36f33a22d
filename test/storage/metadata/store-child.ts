// Starts the other process of a test, and speaks with it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { LmdbOptions } from '../../../src/storage/metadata/lmdb/open.ts'
import { within } from '../../support/until.ts'
import type { ChildMessage, ParentMessage } from './store-process.ts'

export interface ChildOptions {
  readonly sharing?: LmdbOptions['sharing']
  readonly durability?: LmdbOptions['durability']
  /** Put before the command line. */
  readonly wrap?: readonly string[]
}

export interface Ended {
  readonly kind: 'ended'
}

type Stored = Extract<ChildMessage, { readonly kind: 'stored' }>

export class StoreChild {
  readonly #messages: ChildMessage[] = []
  readonly #child: ReturnType<typeof spawn>
  readonly #exited: Promise<unknown>
  #wake: (() => void) | undefined
  #pid = 0
  #hasEnded = false

  /** The child does not outlive the test. */
  constructor(t: TestContext, path: string, options: ChildOptions = {}) {
    const { sharing = 'exclusive', durability = 'fsync', wrap = [] } = options
    // The extension is that of this file, built or not.
    const url = import.meta.url.replace(/store-child\.(js|ts)$/, 'store-process.$1')
    const line = [...wrap, process.execPath, fileURLToPath(url), path, sharing, durability]
    this.#child = spawn(line[0]!, line.slice(1), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#exited = once(this.#child, 'exit').then(() => {
      this.#hasEnded = true
      this.#wake?.()
    })
    this.#child.on('message', (message: ChildMessage) => {
      this.#messages.push(message)
      this.#wake?.()
    })
    t.after(() => {
      if (this.#pid > 0 && wrap.length > 0) endProcess(this.#pid)
      this.#child.kill('SIGKILL')
    })
  }

  /** Of the process that has the store open. */
  get pid(): number {
    return this.#pid
  }

  /** The next message that has not been taken yet; `ended` when none comes any more. */
  next(): Promise<ChildMessage | Ended> {
    return within('a message of the child', this.#take(), 30_000)
  }

  async opened(): Promise<void> {
    const message = await this.next()
    assert.equal(message.kind, 'open', JSON.stringify(message))
    if (message.kind === 'open') this.#pid = message.pid
  }

  /** A child that has ended by now shows by what it answers. */
  say(message: ParentMessage): void {
    this.#child.send(message, () => {})
  }

  /** Say it, and wait for the answer, which must be a success. */
  async store(message: ParentMessage): Promise<Stored> {
    this.say(message)
    const answer = await this.next()
    assert.ok(answer.kind === 'stored', JSON.stringify(answer))
    return answer
  }

  /** Close the store and end. */
  async close(): Promise<void> {
    this.say({ kind: 'close' })
    await within('the end of the child', this.#exited, 30_000)
  }

  /** SIGKILL, and wait until it is gone. */
  async kill(): Promise<void> {
    endProcess(this.#pid)
    await within('the end of the child', this.#exited, 30_000)
  }

  async #take(): Promise<ChildMessage | Ended> {
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) return message
      if (this.#hasEnded) return { kind: 'ended' }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
