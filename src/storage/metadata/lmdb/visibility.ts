// Tells when a commit can be read, which is before it is synced; the package itself tells only of both.

import type { RootDatabase } from 'lmdb'

/** What the package calls to write, and what it is called back with: batches to run, or the commit. */
interface Environment {
  startWriting(address: number, callback: (status: number) => unknown): unknown
  info(): { readonly lastTxnId?: unknown }
}

// The package's callback status between a commit and its sync.
const committedStatus = 1

/** One thread of the package that writes one transaction; batches that join it have the same one. */
export type Writer = object

/**
 * Listens in on the package's own calls, for which it has no event. Where another version makes them
 * differently nothing is heard, and the promise of each commit decides, later.
 */
export class CommitWatch {
  readonly #environment: Environment | undefined
  #running: Writer | undefined

  constructor(root: RootDatabase, onCommit: (writer: Writer) => void) {
    const environment = environmentOf(root)
    this.#environment = environment
    if (environment === undefined) return
    const startWriting = environment.startWriting.bind(environment)
    const listening: Environment['startWriting'] = (address, callback) => {
      const writer: Writer = {}
      return startWriting(address, (status) => {
        this.#running = writer
        const answer = callback(status)
        this.#running = undefined
        if (status === committedStatus) onCommit(writer)
        return answer
      })
    }
    // Defined, since the method of the class is read-only.
    Object.defineProperty(environment, 'startWriting', { value: listening })
  }

  /** Inside a transaction: who writes it. */
  get running(): Writer | undefined {
    return this.#running
  }

  /** Whether the transaction of this number has been committed. False where that cannot be told. */
  isCommitted(transactionId: number): boolean {
    const last = this.#environment?.info().lastTxnId
    return typeof last === 'number' && last >= transactionId
  }
}

function environmentOf(root: RootDatabase): Environment | undefined {
  const environment: unknown = 'env' in root ? root.env : undefined
  if (typeof environment !== 'object' || environment === null) return undefined
  const { startWriting, info } = environment as Partial<Environment>
  const isKnown = typeof startWriting === 'function' && typeof info === 'function'
  return isKnown ? (environment as Environment) : undefined
}
