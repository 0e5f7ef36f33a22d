// Tells when a commit can be read, which is before it is synced; the package itself tells only of both.

import type { RootDatabase } from 'lmdb'

/** What the package calls for every write transaction, and what it is called back with. */
interface Environment {
  startWriting(address: number, callback: (status: number) => unknown): unknown
  info(): { readonly lastTxnId?: unknown }
}

// The package's callback status between the commit and its sync.
const committedStatus = 1

/**
 * Call `onCommit` whenever a commit may have become readable. Listens in on the package's own call, for
 * which it has no event: where another version makes it differently nothing is heard, and the promise
 * of the commit decides, later.
 */
export function watchCommits(root: RootDatabase, onCommit: () => void): void {
  const environment = environmentOf(root)
  if (environment === undefined) return
  const startWriting = environment.startWriting.bind(environment)
  const listening: Environment['startWriting'] = (address, callback) =>
    startWriting(address, (status) => {
      const answer = callback(status)
      if (status === committedStatus) onCommit()
      return answer
    })
  // Defined, since the method of the class is read-only.
  Object.defineProperty(environment, 'startWriting', { value: listening })
}

/** The latest transaction that can be read, by any process. Undefined where the package does not say. */
export function lastCommitted(root: RootDatabase): number | undefined {
  const last = environmentOf(root)?.info().lastTxnId
  return typeof last === 'number' ? last : undefined
}

function environmentOf(root: RootDatabase): Environment | undefined {
  const environment: unknown = 'env' in root ? root.env : undefined
  if (typeof environment !== 'object' || environment === null) return undefined
  const { startWriting, info } = environment as Partial<Environment>
  const isKnown = typeof startWriting === 'function' && typeof info === 'function'
  return isKnown ? (environment as Environment) : undefined
}
