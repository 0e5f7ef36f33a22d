// Keeps the opening of an LMDB environment apart from the commits of other processes. A process that opens
// one sets the count of transactions that all share to what it has read a moment before (lmdb 3.5.6,
// mdb_env_open2): a commit in between would be forgotten, and be written over by the next one.

import { closeSync, openSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../error.ts'
import {
  type Doing,
  type MarkedProcess,
  ProcessMark,
  readMarks,
  removeMark,
} from './process-mark.ts'
import { type Holder, inUse, isAlive, type LockOptions } from './store-lock.ts'

const pollEveryMs = 2

// A commit that takes longer than that is stuck.
const openingWaitMaxMsDefault = 30_000

/**
 * One process at a time opens; it waits for everybody who writes, and meanwhile nobody begins to write.
 * Both sides first say what they do, then look what others do, so that one of two always sees the other.
 * Who has died is passed over, as in the lock of the store. A process that is alone on its store says
 * once that it writes, for as long as it lives, and does nothing more for each write.
 */
export class OpenGate {
  readonly #options: LockOptions
  readonly #openingWaitMaxMs: number
  readonly #id: string
  readonly #mark: ProcessMark
  /** There while somebody opens, so that a write need not look at every mark; and after a death. */
  readonly #sign: string
  #hasSign = false
  #writes = 0

  /** The folder of the store must be there. */
  constructor(
    options: LockOptions,
    holder: Holder,
    openingWaitMaxMs: number = openingWaitMaxMsDefault,
  ) {
    this.#options = options
    this.#openingWaitMaxMs = openingWaitMaxMs
    this.#id = holder.id
    this.#sign = join(options.path, 'opening')
    this.#mark = new ProcessMark(options.path, holder)
  }

  /**
   * Resolves when nobody writes and nobody else opens; until `endOpening` it stays so.
   * Errors: StorageError 'conflict' where somebody alive excludes us, 'unavailable' where it takes too long.
   */
  async beginOpening(): Promise<void> {
    const endAt = performance.now() + this.#openingWaitMaxMs
    this.#mark.set('waiting')
    await this.#until(endAt, () => this.#rivalOpener() ?? this.#rivalAtTheDoor())
    this.#hasSign = true
    closeSync(openSync(this.#sign, 'a', 0o600))
    await this.#until(endAt, () => this.#find((other) => other.doing === 'writing'))
  }

  /** The store is open, and its lock is ours. */
  endOpening(): void {
    // First, since whoever opens next makes it again.
    this.#removeSign()
    this.#mark.set(this.#isAlone ? 'alone' : 'idle')
  }

  /**
   * Call it before a commit begins, and `endWrite` after the commit, unless this has thrown.
   * Undefined: go on at once. A promise: somebody opens; go on when it resolves.
   */
  beginWrite(): Promise<void> | undefined {
    if (this.#isAlone) return undefined
    return this.#tryWrite(() => true) ? undefined : this.#writeAfterOpening()
  }

  endWrite(): void {
    if (this.#isAlone) return
    this.#writes--
    if (this.#writes > 0) return
    try {
      this.#mark.set('idle')
    } catch {
      // Who opens waits for us in vain; the next write sets it right.
    }
  }

  /** Tells those in another pid namespace that we live. */
  renew(): void {
    this.#mark.renew(this.#options.now())
  }

  /** The environment is closed, or was never opened. Idempotent. */
  leave(): void {
    this.#removeSign()
    this.#mark.remove()
  }

  get #isAlone(): boolean {
    return this.#options.sharing === 'exclusive'
  }

  /** `isMeant` tells whether a sign that is there is somebody's. */
  #tryWrite(isMeant: () => boolean): boolean {
    if (this.#writes === 0) this.#mark.set('writing')
    this.#writes++
    const isSigned = statSync(this.#sign, { throwIfNoEntry: false }) !== undefined
    if (!isSigned || !isMeant()) return true
    this.endWrite()
    return false
  }

  async #writeAfterOpening(): Promise<void> {
    const isMeant = (): boolean => this.#find(({ doing }) => doing === 'opening') !== undefined
    while (!this.#tryWrite(isMeant)) await sleep(pollEveryMs)
  }

  /** Of those that want to open at once the one with the lowest id is first. */
  #rivalOpener(): MarkedProcess | undefined {
    return this.#find(({ doing, holder }) => {
      return doing === 'opening' || (doing === 'waiting' && holder.id < this.#id)
    })
  }

  /** Two may have found the way free at the same time: now each shows itself to the other. */
  #rivalAtTheDoor(): MarkedProcess | undefined {
    this.#mark.set('opening')
    const rival = this.#rivalOpener()
    if (rival !== undefined) this.#mark.set('waiting')
    return rival
  }

  async #until(endAt: number, findObstacle: () => MarkedProcess | undefined): Promise<void> {
    for (;;) {
      this.#refuse()
      const obstacle = findObstacle()
      if (obstacle === undefined) return
      if (performance.now() > endAt) throw this.#blocked(obstacle)
      await sleep(pollEveryMs)
      this.renew()
    }
  }

  /** Before anything is opened, since opening is what does the harm. */
  #refuse(): void {
    const excluding: readonly Doing[] = this.#isAlone ? ['alone', 'idle'] : ['alone']
    const rival = this.#find(({ doing }) => excluding.includes(doing))
    if (rival !== undefined) throw inUse(rival.holder, this.#options)
  }

  /** Among those that live; what the others have left is removed. */
  #find(is: (other: MarkedProcess) => boolean): MarkedProcess | undefined {
    let found: MarkedProcess | undefined
    for (const other of readMarks(this.#options.path)) {
      if (other.holder.id === this.#id) continue
      if (!isAlive(other.holder, this.#options)) removeMark(other.file)
      else if (is(other)) found = other
    }
    return found
  }

  #removeSign(): void {
    if (this.#hasSign) rmSync(this.#sign, { force: true })
    this.#hasSign = false
  }

  #blocked({ doing, holder }: MarkedProcess): StorageError {
    const { path } = this.#options
    return new StorageError(
      'unavailable',
      `the metadata store ${path} cannot be opened: process ${holder.pid} is ${doing} all the time`,
    )
  }
}
