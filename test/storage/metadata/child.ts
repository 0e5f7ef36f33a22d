// Starts the other process of a test, and speaks with it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { LmdbOptions } from '../../../src/storage/metadata/lmdb/open.ts'
import { within } from '../../support/until.ts'
import type { ChildMessage, ParentMessage } from './lock-child.ts'

export interface StoreChild {
  readonly process: ChildProcess
  /** The next message that has not been taken yet. */
  next(): Promise<ChildMessage>
  say(message: ParentMessage): void
  /** Close the store and end. */
  close(): Promise<void>
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>
}

// Built, the extension is that of this file.
const script = fileURLToPath(new URL(import.meta.url.replace(/child\.(js|ts)$/, 'lock-child.$1')))

/** The child does not outlive the test. */
export function startChild(
  t: TestContext,
  path: string,
  sharing: LmdbOptions['sharing'],
  durability: LmdbOptions['durability'] = 'fsync',
  /** Put before the command line. */
  wrap: readonly string[] = [],
): StoreChild {
  const line = [...wrap, process.execPath, script, path, sharing, durability]
  const child = spawn(line[0]!, line.slice(1), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const exited = once(child, 'exit')
  t.after(() => {
    child.kill('SIGKILL')
  })
  const messages: ChildMessage[] = []
  let wake: (() => void) | undefined
  child.on('message', (message: ChildMessage) => {
    messages.push(message)
    wake?.()
  })
  const take = async (): Promise<ChildMessage> => {
    while (messages.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return messages.shift()!
  }
  return {
    process: child,
    next: () => within('a message of the child', take(), 30_000),
    say: (message) => void child.send(message),
    close: async () => {
      // A child that was refused ends by itself, perhaps at this very moment.
      child.send({ kind: 'close' } satisfies ParentMessage, () => {})
      await within('the end of the child', exited, 30_000)
    },
    kill: async () => {
      child.kill('SIGKILL')
      await within('the end of the child', exited, 30_000)
    },
  }
}
