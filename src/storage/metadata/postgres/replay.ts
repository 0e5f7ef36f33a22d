// Runs synchronous record logic over rows that have to be fetched, until it has asked nothing new.

import { StorageError } from '../../error.ts'
import type { KeyValueReader } from '../kv/contract.ts'
import { type Fetched, KnownRows, type Wanted, wantsNothing } from './known.ts'

// Each run but the last costs a round trip; whole walks of a store come in pages of hundreds of rows.
const runsMax = 100_000

type Outcome<T> = { readonly value: T } | { readonly error: unknown }

export type Fetch = (wanted: Wanted) => Promise<Fetched>

/**
 * What `action` answers or throws once all that it reads is known. It may run many times, so its only
 * effects are those on what it is given. What is known already need not be asked for again.
 * Errors: those of `action` and of `fetch`.
 */
export async function replay<T>(
  action: (reader: KeyValueReader) => T,
  fetch: Fetch,
  known: KnownRows = new KnownRows(),
): Promise<T> {
  for (let run = 0; run < runsMax; run++) {
    const outcome = attempt(() => action(known))
    const { wanted } = known
    if (wantsNothing(wanted)) return settled(outcome)
    known.learn(await fetch(wanted))
  }
  throw new StorageError('unavailable', 'metadata store: too many round trips')
}

/**
 * The same of one moment, where a statement by itself sees one and several need a transaction: what needs a
 * single `fetch` is done without one, everything else begins anew `within` a transaction.
 */
export async function replayOnce<T>(
  action: (reader: KeyValueReader) => T,
  fetch: Fetch,
  within: <R>(body: (fetch: Fetch) => Promise<R>) => Promise<R>,
): Promise<T> {
  const first = new KnownRows()
  const before = attempt(() => action(first))
  const { wanted } = first
  if (wantsNothing(wanted)) return settled(before)
  first.learn(await fetch(wanted))
  const after = attempt(() => action(first))
  const more = first.wanted
  if (wantsNothing(more)) return settled(after)
  return within(async (fetchWithin) => {
    const known = new KnownRows()
    known.want(wanted)
    known.want(more)
    known.learn(await fetchWithin(known.wanted))
    return replay(action, fetchWithin, known)
  })
}

function settled<T>(outcome: Outcome<T>): T {
  if ('error' in outcome) throw outcome.error
  return outcome.value
}

function attempt<T>(action: () => T): Outcome<T> {
  try {
    return { value: action() }
  } catch (error) {
    return { error }
  }
}
