// MetadataStore over PostgreSQL: the record logic of every key-value backend, with reads that are awaited.

import { randomUUID } from 'node:crypto'
import { hostname, uptime } from 'node:os'
import type { Pool } from 'pg'
import type { PostgresCounts, PostgresFigures } from '../../../telemetry/postgres-metrics.ts'
import type { StorageError } from '../../error.ts'
import type { NodeLiveness, NodeTable } from '../../liveness.ts'
import type { Dump } from '../dump.ts'
import type { PassesOver } from '../garbage.ts'
import { secretKey } from '../kv/keys.ts'
import { KeyValueMetadataStore } from '../kv/store.ts'
import type { MaintenanceStore } from '../maintenance.ts'
import type { RecordAudit } from '../record-audit.ts'
import type { TokenStore } from '../token-store.ts'
import type { PostgresKeyValueStore } from './key-value.ts'
import { Nodes } from './nodes.ts'
import { readPlace, writePlace } from './place.ts'

type Records = KeyValueMetadataStore

type Method = {
  [Name in keyof Records]: Records[Name] extends (...of: never[]) => unknown ? Name : never
}[keyof Records]

/** A method of the record logic that answers without a promise, answered with one. */
type Read<Name extends Method> = (
  ...of: Parameters<Records[Name]>
) => Promise<Awaited<ReturnType<Records[Name]>>>

/** What the store runs on, as far as it tells of it. */
export interface DatabaseOf {
  readonly pool: Pool
  /** A pool of so many connections, to the same. */
  readonly anotherPool: (connectionsMax: number) => Pool
  readonly counts: PostgresCounts
}

export class PostgresMetadataStore implements MaintenanceStore, TokenStore, NodeTable {
  readonly #store: PostgresKeyValueStore
  readonly #records: Records
  readonly #database: DatabaseOf

  constructor(store: PostgresKeyValueStore, database: DatabaseOf) {
    this.#store = store
    this.#database = database
    this.#records = new KeyValueMetadataStore(store)
  }

  readonly readTag: Read<'readTag'> = (...of) => this.#read(() => this.#records.readTag(...of))
  readonly readManifest: Read<'readManifest'> = (...of) =>
    this.#read(() => this.#records.readManifest(...of))
  readonly readBlob: Read<'readBlob'> = (...of) => this.#read(() => this.#records.readBlob(...of))
  readonly listTags: Read<'listTags'> = (...of) => this.#read(() => this.#records.listTags(...of))
  readonly listRepositories: Read<'listRepositories'> = (...of) =>
    this.#read(() => this.#records.listRepositories(...of))
  readonly listReferrers: Read<'listReferrers'> = (...of) =>
    this.#read(() => this.#records.listReferrers(...of))
  readonly repositoriesHolding: Read<'repositoriesHolding'> = (...of) =>
    this.#read(() => this.#records.repositoriesHolding(...of))
  readonly readTagHistory: Read<'readTagHistory'> = (...of) =>
    this.#read(() => this.#records.readTagHistory(...of))
  readonly readUsage: Read<'readUsage'> = (...of) =>
    this.#read(() => this.#records.readUsage(...of))
  readonly readUpload: Read<'readUpload'> = (...of) =>
    this.#read(() => this.#records.readUpload(...of))
  readonly listUploads: Read<'listUploads'> = (...of) =>
    this.#read(() => this.#records.listUploads(...of))
  readonly readTokenRevision: Read<'readTokenRevision'> = () =>
    this.#read(() => this.#records.readTokenRevision())
  readonly readTokenState: Read<'readTokenState'> = () =>
    this.#read(() => this.#records.readTokenState())
  readonly readRefreshToken: Read<'readRefreshToken'> = (...of) =>
    this.#read(() => this.#records.readRefreshToken(...of))
  readonly listRefreshTokens: Read<'listRefreshTokens'> = () =>
    this.#read(() => this.#records.listRefreshTokens())
  readonly readStoreId: Read<'readStoreId'> = () => this.#read(() => this.#records.readStoreId())
  readonly findRemovedManifest: Read<'findRemovedManifest'> = (...of) =>
    this.#read(() => this.#records.findRemovedManifest(...of))
  readonly readPulledAt: Read<'readPulledAt'> = (...of) =>
    this.#read(() => this.#records.readPulledAt(...of))
  readonly readJob: Read<'readJob'> = (...of) => this.#read(() => this.#records.readJob(...of))
  readonly readAdoption: Read<'readAdoption'> = () => this.#read(() => this.#records.readAdoption())

  readonly listEndedLeases: Read<'listEndedLeases'> = (page) =>
    this.#passingOver(page, (over) => this.#records.listEndedLeases({ ...page, ...over }))
  readonly listDropped: Read<'listDropped'> = (page) =>
    this.#passingOver(page, (over) => this.#records.listDropped({ ...page, ...over }))
  readonly listDestroying: Read<'listDestroying'> = (limit, page = {}) =>
    this.#passingOver(page, (over) => this.#records.listDestroying(limit, { ...page, ...over }))
  readonly listManifests: Read<'listManifests'> = (repository, page) =>
    this.#passingOver(page, (over) => this.#records.listManifests(repository, { ...page, ...over }))
  readonly listRemovedManifests: Read<'listRemovedManifests'> = (page) =>
    this.#passingOver(page, (over) => this.#records.listRemovedManifests({ ...page, ...over }))
  readonly listTagTimes: Read<'listTagTimes'> = (repository, page) =>
    this.#passingOver(page, (over) => this.#records.listTagTimes(repository, { ...page, ...over }))

  readonly recountUsage: Records['recountUsage'] = (...of) => this.#records.recountUsage(...of)
  readonly linkBlob: Records['linkBlob'] = (...of) => this.#records.linkBlob(...of)
  readonly mountBlob: Records['mountBlob'] = (...of) => this.#records.mountBlob(...of)
  readonly renewLease: Records['renewLease'] = (...of) => this.#records.renewLease(...of)
  readonly unlinkBlob: Records['unlinkBlob'] = (...of) => this.#records.unlinkBlob(...of)
  readonly putManifest: Records['putManifest'] = (...of) => this.#records.putManifest(...of)
  readonly deleteManifest: Records['deleteManifest'] = (...of) =>
    this.#records.deleteManifest(...of)
  readonly deleteTag: Records['deleteTag'] = (...of) => this.#records.deleteTag(...of)
  readonly createUpload: Records['createUpload'] = (...of) => this.#records.createUpload(...of)
  readonly claimUpload: Records['claimUpload'] = (...of) => this.#records.claimUpload(...of)
  readonly saveUpload: Records['saveUpload'] = (...of) => this.#records.saveUpload(...of)
  readonly removeUpload: Records['removeUpload'] = (...of) => this.#records.removeUpload(...of)
  readonly createApiKey: Records['createApiKey'] = (...of) => this.#records.createApiKey(...of)
  readonly revokeApiKey: Records['revokeApiKey'] = (...of) => this.#records.revokeApiKey(...of)
  readonly revokeToken: Records['revokeToken'] = (...of) => this.#records.revokeToken(...of)
  readonly revokeUser: Records['revokeUser'] = (...of) => this.#records.revokeUser(...of)
  readonly applyRevocations: Records['applyRevocations'] = (...of) =>
    this.#records.applyRevocations(...of)
  readonly putSigningKey: Records['putSigningKey'] = (...of) => this.#records.putSigningKey(...of)
  readonly createRefreshToken: Records['createRefreshToken'] = (...of) =>
    this.#records.createRefreshToken(...of)
  readonly removeRefreshToken: Records['removeRefreshToken'] = (...of) =>
    this.#records.removeRefreshToken(...of)
  readonly sweepTokens: Records['sweepTokens'] = (...of) => this.#records.sweepTokens(...of)
  readonly condemn: Records['condemn'] = (...of) => this.#records.condemn(...of)
  readonly restoreDropped: Records['restoreDropped'] = (...of) =>
    this.#records.restoreDropped(...of)
  readonly beginDestroy: Records['beginDestroy'] = (...of) => this.#records.beginDestroy(...of)
  readonly renewDestroy: Records['renewDestroy'] = (...of) => this.#records.renewDestroy(...of)
  readonly endDestroy: Records['endDestroy'] = (...of) => this.#records.endDestroy(...of)
  readonly markUnused: Records['markUnused'] = (...of) => this.#records.markUnused(...of)
  readonly removeUnused: Records['removeUnused'] = (...of) => this.#records.removeUnused(...of)
  readonly freeTags: Records['freeTags'] = (...of) => this.#records.freeTags(...of)
  readonly restoreManifest: Records['restoreManifest'] = (...of) =>
    this.#records.restoreManifest(...of)
  readonly forgetRemovedManifests: Records['forgetRemovedManifests'] = (...of) =>
    this.#records.forgetRemovedManifests(...of)
  readonly recordPulls: Records['recordPulls'] = (...of) => this.#records.recordPulls(...of)
  readonly claimJob: Records['claimJob'] = (...of) => this.#records.claimJob(...of)
  readonly saveJob: Records['saveJob'] = (...of) => this.#records.saveJob(...of)
  readonly askJobToStop: Records['askJobToStop'] = (...of) => this.#records.askJobToStop(...of)
  readonly setAdoption: Records['setAdoption'] = (...of) => this.#records.setAdoption(...of)
  readonly probe: Records['probe'] = () => this.#records.probe()

  ensureSecret(fresh: string): Promise<string> {
    return this.#store.write('durable', (transaction) => {
      const made = transaction.get(secretKey)
      if (made === undefined) transaction.put(secretKey, fresh)
      return made ?? fresh
    })
  }

  /** For metrics. */
  figures(): PostgresFigures {
    const { counts, pool } = this.#database
    const { totalCount, idleCount, waitingCount } = pool
    return {
      ...{ ...counts, connections: totalCount, connectionsIdle: idleCount, waiting: waitingCount },
    }
  }

  /** Of the blob store that belongs to these records. Errors: StorageError 'unavailable'. */
  readPlaceId(): Promise<string | undefined> {
    return readPlace(this.#database.pool)
  }

  /** Answers what it is afterwards. Errors: StorageError 'unavailable', 'full'. */
  writePlaceId(id: string, options: { readonly replaced: boolean }): Promise<string> {
    return writePlace(this.#database.pool, id, options)
  }

  async joinNodes(onNotice: (notice: string) => void): Promise<NodeLiveness> {
    const nodes = new Nodes({
      ...{ pool: this.#database.anotherPool(1), id: randomUUID(), random: Math.random, onNotice },
      host: hostname()
        .replace(/[^A-Za-z0-9.-]/g, '-')
        .slice(0, 64),
      // Unlike the clock of timers it goes on while the host sleeps.
      now: () => uptime() * 1000,
      after: (ms, action) => {
        const timer = setTimeout(action, ms).unref()
        return () => clearTimeout(timer)
      },
    })
    try {
      await nodes.join()
    } catch (error) {
      await nodes.close()
      throw error
    }
    return nodes
  }

  openDump(over?: PassesOver): Dump {
    return this.#records.openDump(over)
  }

  isFrozen(): boolean {
    return this.#records.isFrozen()
  }

  freeze(): Promise<() => void> {
    return this.#records.freeze()
  }

  openAudit(): RecordAudit {
    return this.#records.openAudit()
  }

  refresh(): void {}

  close(): Promise<void> {
    return this.#store.close()
  }

  #read<T>(action: () => T): Promise<T> {
    return this.#store.read(action)
  }

  /** A run may find a fault more than once, and one that does not count may find what is none. */
  async #passingOver<T>({ onCorrupt }: PassesOver, action: (over: PassesOver) => T): Promise<T> {
    if (onCorrupt === undefined) return this.#read(() => action({}))
    let faults: StorageError[] = []
    const answer = await this.#read(() => {
      faults = []
      return action({ onCorrupt: (fault) => faults.push(fault) })
    })
    for (const fault of faults) onCorrupt(fault)
    return answer
  }
}
