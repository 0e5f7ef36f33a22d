// The metadata store of one host: LMDB, for one process alone or for several that share it.

import { randomUUID } from 'node:crypto'
import { StorageError } from '../../error.ts'
import { ownIdentity, startTimeOf } from '../../process-table.ts'
import { BufferedTransaction } from '../kv/buffered.ts'
import type { Durability, KeyValueStore, KeyValueTransaction } from '../kv/contract.ts'
import { formatKey } from '../kv/keys.ts'
import { KeyValueMetadataStore } from '../kv/store.ts'
import {
  type Databases,
  type OpenRoot,
  openDatabases,
  type Syncing,
  writeTarget,
} from './databases.ts'
import { storageFault } from './fault.ts'
import { GroupCommit } from './group-commit.ts'
import { LmdbReader } from './reader.ts'
import { heartbeatEveryMs, type Sharing, StoreLock } from './store-lock.ts'

export interface LmdbOptions {
  /** A folder of its own; made where it is absent. */
  readonly path: string
  /** `none` gives up what a power loss takes, and may then cost the whole store. */
  readonly durability: 'fsync' | 'none'
  readonly sharing: Sharing
  readonly now: () => number
  /** Answers a fresh unique text. */
  readonly random?: () => string
  /** Told of what an operator should know, in one sentence. */
  readonly onNotice?: (notice: string) => void
  /** Default 30,000. */
  readonly stallAfterMs?: number
  /** That of the package; tests pass one whose writes fail. */
  readonly openRoot?: OpenRoot
}

// Grows with every change of the key tree that an older build would misread.
const format = '1'

// A stuck environment is left to the end of the process.
const closeTimeMaxMs = 5_000

export class LmdbMetadataStore extends KeyValueMetadataStore {
  readonly #databases: Databases

  constructor(store: KeyValueStore, databases: Databases) {
    super(store)
    this.#databases = databases
  }

  /** Free the reader slots of processes that have died; answers how many there were. */
  readerCheck(): number {
    return this.#databases.root.readerCheck()
  }
}

/**
 * Open a store, and its lock.
 * Errors: StorageError 'conflict' where another process excludes us, 'unavailable' where the store
 * cannot be opened or has another format.
 */
export async function openLmdbMetadataStore(options: LmdbOptions): Promise<LmdbMetadataStore> {
  const { databases, store } = await openLmdb(options)
  return new LmdbMetadataStore(store, databases)
}

/** The same without the record logic, for tests that look under it. */
export async function openLmdb(
  options: LmdbOptions,
): Promise<{ readonly databases: Databases; readonly store: KeyValueStore }> {
  const { path, sharing, now, random = randomUUID, onNotice = () => {} } = options
  const lock = new StoreLock({ path, sharing, identity: ownIdentity(), now, random, startTimeOf })
  let databases: Databases | undefined
  try {
    databases = openDatabases(path, syncingOf(options), options.openRoot)
    enter(databases, new LmdbReader(databases, path), lock, onNotice)
  } catch (cause) {
    await databases?.root.close()
    throw storageFault(cause, path)
  }
  databases.root.readerCheck()
  return { databases, store: new LmdbKeyValueStore(databases, lock, options) }
}

function syncingOf({ durability, sharing }: LmdbOptions): Syncing {
  if (durability === 'none') return 'never'
  return sharing === 'exclusive' ? 'behind' : 'within'
}

function enter(
  databases: Databases,
  reader: LmdbReader,
  lock: StoreLock,
  onNotice: (notice: string) => void,
): void {
  databases.root.transactionSync(() => {
    const transaction = new BufferedTransaction(reader)
    const found = transaction.get(formatKey)
    if (found === undefined) transaction.put(formatKey, format)
    else if (found !== format) {
      throw new StorageError('unavailable', `metadata store has format ${found}, not ${format}`)
    }
    for (const dead of lock.acquire(transaction)) {
      onNotice(`metadata store taken over from process ${dead.pid}, which ended without closing it`)
    }
    transaction.applyTo(writeTarget(databases))
  })
}

/** Resolves with `action`, or without it when that is stuck. */
async function within(timeMaxMs: number, action: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeMaxMs)
  })
  await Promise.race([action, timeout]).finally(() => clearTimeout(timer))
}

class LmdbKeyValueStore implements KeyValueStore {
  readonly reader: LmdbReader
  readonly #root: Databases['root']
  readonly #lock: StoreLock
  readonly #commits: GroupCommit
  readonly #isShared: boolean
  readonly #heartbeat: NodeJS.Timeout
  #isRenewed = true
  #closing: Promise<void> | undefined

  constructor(databases: Databases, lock: StoreLock, options: LmdbOptions) {
    const { path, sharing, onNotice = () => {}, stallAfterMs = 30_000 } = options
    const reader = new LmdbReader(databases, path)
    this.reader = reader
    this.#root = databases.root
    this.#lock = lock
    this.#isShared = sharing === 'shared'
    this.#commits = new GroupCommit({
      databases,
      reader,
      path,
      syncing: syncingOf(options),
      checkHolder: () => lock.check(reader),
      onNotice,
      stallAfterMs,
    })
    this.#heartbeat = setInterval(() => void this.#renew(onNotice), heartbeatEveryMs)
    this.#heartbeat.unref()
  }

  write<T>(durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T> {
    if (this.#closing !== undefined) {
      return Promise.reject(new StorageError('unavailable', 'the metadata store is closed'))
    }
    return this.#commits.write(durability, action)
  }

  refresh(): void {
    // Alone on the store nobody else commits, and our own commits drop the snapshot themselves.
    if (this.#isShared) this.#root.resetReadTxn()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #renew(onNotice: (notice: string) => void): Promise<void> {
    try {
      await this.#commits.write('visible', (transaction) => this.#lock.renew(transaction))
      this.#isRenewed = true
    } catch (error) {
      // Once: what keeps it from being renewed mostly stays.
      if (this.#isRenewed) onNotice(`metadata store lock cannot be renewed: ${error}`)
      this.#isRenewed = false
    }
  }

  async #close(): Promise<void> {
    clearInterval(this.#heartbeat)
    // Where it cannot be released, the next one finds the holder dead.
    await this.#commits
      .write('durable', (transaction) => this.#lock.release(transaction))
      .catch(() => {})
    await this.#commits.idle()
    await within(closeTimeMaxMs, this.#closeRoot())
  }

  async #closeRoot(): Promise<void> {
    // After a failed commit the package waits for a sync that never comes, but for this one's.
    await this.#root.transaction(() => {}).catch(() => {})
    await this.#root.close()
  }
}
