// Answers for commands of the product that are killed in the middle of their work.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type FSWatcher, watch } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { productCommand } from '../support/server.ts'

export interface Place {
  /** Of the store, which nobody has open. */
  readonly rootDir: string
  /** `-c`. */
  readonly config: string
  /** Where else the command writes files. */
  readonly target?: string
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Changes that were seen of what it writes. */
  readonly changes: number
  readonly out: string
}

const lookMs = 2
const timeoutMs = 120_000

/** Run `keelson -c … command`. With `killAt` it gets SIGKILL when so many changes have been seen. */
export async function runUntil(
  place: Place,
  command: readonly string[],
  killAt: number = Number.POSITIVE_INFINITY,
): Promise<Ended> {
  const [program = '', ...args] = productCommand()
  const child = spawn(program, [...args, '-c', place.config, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  let out = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      out += String(text)
    })
  }
  const seen = new Changes(place, (changes) => {
    if (changes >= killAt) child.kill('SIGKILL')
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, changes: seen.end(), out }
}

/** Commits to the metadata, or files below the target. */
class Changes {
  readonly #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #isOver = false
  #count = 0

  constructor({ rootDir, target }: Place, onChange: (count: number) => void) {
    if (target === undefined) {
      this.#watcher = watch(join(rootDir, '_keelson', 'metadata', 'data.mdb'), () => {
        this.#count += 1
        onChange(this.#count)
      })
      return
    }
    const look = async (): Promise<void> => {
      this.#count = (await readdir(target, { recursive: true }).catch(() => [])).length
      if (this.#isOver) return
      onChange(this.#count)
      this.#timer = setTimeout(() => void look(), lookMs)
    }
    void look()
  }

  end(): number {
    this.#isOver = true
    this.#watcher?.close()
    clearTimeout(this.#timer)
    return this.#count
  }
}

/** Errors: AssertionError with what it said. */
export function assertEnded(ended: Ended, code = 0): Ended {
  assert.deepEqual({ code: ended.code, signal: ended.signal }, { code, signal: null }, ended.out)
  return ended
}
