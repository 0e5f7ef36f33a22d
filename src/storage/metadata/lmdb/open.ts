// The metadata store of one host: LMDB, for one process alone or for several that share it.

import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { LmdbFigures } from '../../../telemetry/lmdb-figures.ts'
import { StorageError } from '../../error.ts'
import { ownIdentity, startTimeOf } from '../../process-table.ts'
import type { RestoreTarget } from '../dump.ts'
import { BufferedTransaction } from '../kv/buffered.ts'
import type {
  Durability,
  KeyValueSnapshot,
  KeyValueStore,
  KeyValueTransaction,
} from '../kv/contract.ts'
import { begunSnapshot, format, formatRefusal } from '../kv/format.ts'
import { formatKey } from '../kv/keys.ts'
import { KeyValueRestore } from '../kv/restore.ts'
import { KeyValueMetadataStore } from '../kv/store.ts'
import {
  type Databases,
  type OpenRoot,
  openDatabases,
  type Syncing,
  writeTarget,
} from './databases.ts'
import { storageFault } from './fault.ts'
import { readFigures } from './figures.ts'
import { GroupCommit } from './group-commit.ts'
import { OpenGate } from './open-gate.ts'
import { LmdbReader } from './reader.ts'
import { LmdbSnapshot } from './snapshot.ts'
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
  /** Opened also where an earlier restore did not end. */
  readonly isRestore?: boolean
  /** That of the package; tests pass one whose writes fail. */
  readonly openRoot?: OpenRoot
}

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

  /** For metrics. */
  figures(): LmdbFigures {
    return readFigures(this.#databases)
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

export interface LmdbRestore {
  readonly target: RestoreTarget
  /** The same, to be read. */
  readonly store: LmdbMetadataStore
  readonly close: () => Promise<void>
}

/**
 * Open a store to restore a backup to it, alone.
 * Errors: as `openLmdbMetadataStore`.
 */
export async function openLmdbRestore(
  options: Omit<LmdbOptions, 'durability' | 'sharing' | 'isRestore'>,
): Promise<LmdbRestore> {
  // Whatever the configuration says: after a restore the backup may be given up.
  const safely = { durability: 'fsync', sharing: 'exclusive', isRestore: true } as const
  const { databases, store } = await openLmdb({ ...options, ...safely })
  return {
    target: new KeyValueRestore(store),
    store: new LmdbMetadataStore(store, databases),
    close: () => store.close(),
  }
}

/** The same without the record logic, for tests that look under it. */
export async function openLmdb(
  options: LmdbOptions,
): Promise<{ readonly databases: Databases; readonly store: KeyValueStore }> {
  const { path, sharing, now, random = randomUUID } = options
  const lockOptions = { path, sharing, identity: ownIdentity(), now, random, startTimeOf }
  const lock = new StoreLock(lockOptions)
  let gate: OpenGate | undefined
  let databases: Databases | undefined
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    gate = new OpenGate(lockOptions, lock.holder())
    await gate.beginOpening()
    databases = openDatabases(path, syncingOf(options), options.openRoot)
    enter(databases, new LmdbReader(databases, path), lock, options)
    databases.root.readerCheck()
    gate.endOpening()
  } catch (cause) {
    await databases?.root.close()
    gate?.leave()
    throw storageFault(cause, path)
  }
  return { databases, store: new LmdbKeyValueStore(databases, lock, gate, options) }
}

function syncingOf({ durability, sharing }: LmdbOptions): Syncing {
  if (durability === 'none') return 'never'
  return sharing === 'exclusive' ? 'behind' : 'within'
}

function enter(
  databases: Databases,
  reader: LmdbReader,
  lock: StoreLock,
  { isRestore = false, onNotice = () => {} }: LmdbOptions,
): void {
  databases.root.transactionSync(() => {
    const transaction = new BufferedTransaction(reader)
    const found = transaction.get(formatKey)
    if (found === undefined) transaction.put(formatKey, format)
    else if (found !== format && !(isRestore && begunSnapshot(found) !== undefined)) {
      throw new StorageError('unavailable', formatRefusal(found))
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
  readonly #databases: Databases
  readonly #path: string
  readonly #lock: StoreLock
  readonly #gate: OpenGate
  readonly #commits: GroupCommit
  readonly #isShared: boolean
  readonly #heartbeat: NodeJS.Timeout
  #isRenewed = true
  #closing: Promise<void> | undefined

  constructor(databases: Databases, lock: StoreLock, gate: OpenGate, options: LmdbOptions) {
    const { path, sharing, onNotice = () => {}, stallAfterMs = 30_000 } = options
    const reader = new LmdbReader(databases, path)
    this.reader = reader
    this.#databases = databases
    this.#path = path
    this.#lock = lock
    this.#gate = gate
    this.#isShared = sharing === 'shared'
    this.#commits = new GroupCommit({
      databases,
      reader,
      path,
      syncing: syncingOf(options),
      gate,
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

  read<T>(action: () => T): T {
    return action()
  }

  snapshot(): KeyValueSnapshot {
    this.refresh()
    return new LmdbSnapshot(this.#databases, this.#path)
  }

  refresh(): void {
    // Alone on the store nobody else commits, and our own commits drop the snapshot themselves.
    if (this.#isShared) this.#databases.root.resetReadTxn()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #renew(onNotice: (notice: string) => void): Promise<void> {
    try {
      this.#gate.renew()
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

  /** Closing is for the gate what a write is: the last one takes away what one that opens relies on. */
  async #closeRoot(): Promise<void> {
    await this.#gate.beginWrite()
    // After a failed commit the package waits for a sync that never comes, but for this one's.
    await this.#databases.root.transaction(() => {}).catch(() => {})
    await this.#databases.root.close()
    this.#gate.leave()
  }
}
