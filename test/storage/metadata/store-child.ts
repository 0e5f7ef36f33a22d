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

type Stored = Extract<ChildMessage, { readonly kind: 'stored' }>

export class StoreChild {
  readonly #messages: ChildMessage[] = []
  readonly #child: ReturnType<typeof spawn>
  readonly #exited: Promise<unknown>
  #wake: (() => void) | undefined
  #pid = 0

  /** The child does not outlive the test. */
  constructor(t: TestContext, path: string, options: ChildOptions = {}) {
    const { sharing = 'exclusive', durability = 'fsync', wrap = [] } = options
    // The extension is that of this file, built or not.
    const url = import.meta.url.replace(/store-child\.(js|ts)$/, 'store-process.$1')
    const line = [...wrap, process.execPath, fileURLToPath(url), path, sharing, durability]
    this.#child = spawn(line[0]!, line.slice(1), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#exited = once(this.#child, 'exit')
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

  /** The next message that has not been taken yet. */
  next(): Promise<ChildMessage> {
    return within('a message of the child', this.#take(), 30_000)
  }

  async opened(): Promise<void> {
    const message = await this.next()
    assert.equal(message.kind, 'open', JSON.stringify(message))
    if (message.kind === 'open') this.#pid = message.pid
  }

  say(message: ParentMessage): void {
    this.#child.send(message)
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
    // A child that was refused ends by itself, perhaps at this very moment.
    this.#child.send({ kind: 'close' } satisfies ParentMessage, () => {})
    await within('the end of the child', this.#exited, 30_000)
  }

  /** SIGKILL, and wait until it is gone. */
  async kill(): Promise<void> {
    endProcess(this.#pid)
    await within('the end of the child', this.#exited, 30_000)
  }

  async #take(): Promise<ChildMessage> {
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) return message
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
