// Makes the Config of the checked tables: what one key means for another, and derived defaults.
import { join } from 'node:path'
import { CheckedTables } from './checked-tables.ts'
import { composeAuth } from './compose-auth.ts'
import { composeEncryption } from './compose-encryption.ts'
import { composeForwardAuth, refuseUnknownGuards } from './compose-guards.ts'
import { composePeers } from './compose-peers.ts'
import {
  composePolicy,
  composeQuota,
  composeRepositories,
  composeRetention,
  composeValidation,
} from './compose-policy.ts'
import { composePostgres } from './compose-postgres.ts'
import { composeRedis, refuseUnshared } from './compose-redis.ts'
import { composeS3 } from './compose-s3.ts'
import { composeListeners, composeTls, refuseForTransport } from './compose-server.ts'
import { composeAudit, composeUsage } from './compose-usage.ts'
import { deepFreeze } from './deep-freeze.ts'
import type { ConfigProblem } from './problem.ts'
import type {
  BlobStoreConfig,
  Config,
  ListenerConfig,
  MetadataStoreConfig,
  StorageConfig,
} from './schema.ts'
import type { Environment } from './secret.ts'
import { fitSocket } from './socket-path.ts'
import type { TableNode } from './source.ts'
import { dottedName, readTables } from './tables.ts'
import { formatSize } from './units.ts'

const blobStoreKinds = ['fs', 's3', 'memory'] as const

/**
 * The configuration that a merged tree stands for, or undefined when it has problems.
 * Errors: adds to `problems`.
 */
export function composeConfig(
  root: TableNode,
  env: Environment,
  problems: ConfigProblem[],
): Config | undefined {
  const tables = new CheckedTables(readTables(root, env, problems), root.place, problems)
  const blobStore = composeBlobStore(tables)
  const metadataStore = composeMetadataStore(tables, blobStore)
  const tls = composeTls(tables)
  const listeners = composeListeners(tables, tls)
  refuseForTransport(tables, listeners, tls)
  const [usage, redis] = [composeUsage(tables), composeRedis(tables)]
  refuseUnshared(tables, usage, redis)
  const config: Partial<Config> = {
    server: tables.values('server'),
    listeners,
    tls,
    limits: tables.values('server.limits'),
    headers: tables.values('server.headers'),
    auth: composeAuth(tables),
    global: {
      ...tables.values('global'),
      accessPolicy: composePolicy(tables, ['global', 'access_policy']),
      retentionPolicy: composeRetention(tables, ['global', 'retention_policy']),
      quota: composeQuota(tables, ['global', 'quota']),
      validation: composeValidation(tables, ['global', 'validation']),
    },
    repositories: composeRepositories(tables),
    usage,
    audit: composeAudit(tables),
    forwardAuth: composeForwardAuth(tables),
    redis,
    ...(blobStore && { blobStore }),
    ...(metadataStore && { metadataStore }),
    ...(blobStore &&
      metadataStore && { storage: composeStorage(tables, blobStore, metadataStore) }),
    ingest: composeIngest(tables),
    gc: tables.values('gc'),
    retention: tables.values('retention'),
    scrub: tables.values('scrub'),
    backup: tables.values('backup'),
    peers: composePeers(tables),
    cache: tables.values('cache'),
    log: tables.values('log'),
    health: tables.values('health'),
    tracing: tables.has('tracing') ? tables.values('tracing') : undefined,
    admin: composeAdmin(tables, blobStore, listeners),
  }
  refuseUnknownGuards(tables, 'global', tables.values('global'))
  for (const { path, values } of tables.children('repository')) {
    refuseUnknownGuards(tables, dottedName(path), values)
  }
  return isWhole(config) && problems.length === 0 ? deepFreeze(config) : undefined
}

function composeBlobStore(tables: CheckedTables): BlobStoreConfig | undefined {
  const kind = oneOf(tables, 'blob_store', blobStoreKinds)
  if (kind === 'fs') {
    const encryption = composeEncryption(tables)
    return { kind, ...tables.values('blob_store.fs'), ...(encryption && { encryption }) }
  }
  if (kind === 's3') return { kind, ...composeS3(tables) }
  if (kind === 'memory') return { kind }
  if (given(tables, 'blob_store', blobStoreKinds).length === 0) {
    const message =
      'is missing: expected one of [blob_store.fs], [blob_store.s3], [blob_store.memory]'
    tables.refuse('blob_store', undefined, message)
  }
  return undefined
}

function composeMetadataStore(
  tables: CheckedTables,
  blobStore: BlobStoreConfig | undefined,
): MetadataStoreConfig | undefined {
  const kinds = ['lmdb', 'postgres', 'memory'] as const
  if (given(tables, 'metadata_store', kinds).length > 1) {
    oneOf(tables, 'metadata_store', kinds)
    return undefined
  }
  if (tables.has('metadata_store.postgres')) {
    return { kind: 'postgres', ...composePostgres(tables) }
  }
  if (tables.has('metadata_store.memory')) return { kind: 'memory' }
  const { path } = tables.values('metadata_store.lmdb')
  if (path !== undefined) return { kind: 'lmdb', path }
  const rootDir = rootDirOf(blobStore)
  if (rootDir !== undefined) return { kind: 'lmdb', path: join(rootDir, '_keelson', 'metadata') }
  if (blobStore?.kind === 'memory' || blobStore?.kind === 's3') {
    const table = `blob_store.${blobStore.kind}` as const
    const other = blobStore.kind === 's3' ? 'postgres' : 'memory'
    const message = `is missing: with [${table}] expected a path or [metadata_store.${other}]`
    const place = tables.placeOf(table)
    tables.refuseAt(place, 'metadata_store.lmdb.path', message)
  }
  return undefined
}

// Several processes see one another's writes in the store, and have nothing else in common.
function composeStorage(
  tables: CheckedTables,
  blobStore: BlobStoreConfig,
  metadataStore: MetadataStoreConfig,
): StorageConfig {
  const { sharing, ...values } = tables.values('storage')
  const isAlone = tables.values('server').processes === 1
  if (!isAlone && sharing === 'exclusive') {
    const message = 'expected "shared", as server.processes asks for several; found "exclusive"'
    tables.refuse('storage', 'sharing', message)
  }
  // Nothing keeps other servers away from a database, so nothing may be taken for unchanged.
  const isOpen = metadataStore.kind === 'postgres'
  if (isOpen && sharing === 'exclusive') {
    const message = 'expected "shared", as [metadata_store.postgres] has it; found "exclusive"'
    tables.refuse('storage', 'sharing', message)
  }
  if (!isAlone && (blobStore.kind === 'memory' || metadataStore.kind === 'memory')) {
    const message = 'expected 1, since processes cannot share a memory store'
    tables.refuse('server', 'processes', message)
  }
  return { ...values, sharing: sharing ?? (isAlone && !isOpen ? 'exclusive' : 'shared') }
}

function composeIngest(tables: CheckedTables): Config['ingest'] {
  const ingest = tables.values('ingest')
  const perUpload = ingest.slabSizeBytes * ingest.slabsPerUpload
  if (perUpload > ingest.memoryBudgetBytes) {
    const message = `expected at least slab_size × slabs_per_upload, ${formatSize(perUpload)}; found ${formatSize(ingest.memoryBudgetBytes)}`
    tables.refuse('ingest', 'memory_budget', message)
  }
  const { maxManifestSizeBytes } = tables.values('global')
  if (maxManifestSizeBytes > ingest.bodyBudgetBytes) {
    const message = `expected at least global.max_manifest_size, ${formatSize(maxManifestSizeBytes)}; found ${formatSize(ingest.bodyBudgetBytes)}`
    tables.refuse('ingest', 'body_budget', message)
  }
  return ingest
}

function composeAdmin(
  tables: CheckedTables,
  blobStore: BlobStoreConfig | undefined,
  listeners: readonly ListenerConfig[],
): Config['admin'] {
  const rootDir = rootDirOf(blobStore)
  const absolute =
    tables.values('admin').socket ?? (rootDir && join(rootDir, '_keelson', 'admin.sock'))
  if (absolute === undefined) return { socket: undefined }
  const { path, problem } = fitSocket(absolute)
  if (problem !== undefined) tables.refuse('admin', 'socket', problem)
  if (listeners.some((listener) => listener.kind === 'unix' && listener.path === path)) {
    const message = `expected another socket than that of a public listener; found ${path}`
    tables.refuse('admin', 'socket', message)
  }
  return { socket: path }
}

function oneOf<Kind extends string>(
  tables: CheckedTables,
  parent: string,
  kinds: readonly Kind[],
): Kind | undefined {
  const found = given(tables, parent, kinds)
  for (const extra of found.slice(1)) {
    const message = `expected one store; [${parent}.${found[0]}] is given too`
    tables.refuse(`${parent}.${extra}`, undefined, message)
  }
  return found.length === 1 ? found[0] : undefined
}

function given<Kind extends string>(
  tables: CheckedTables,
  parent: string,
  kinds: readonly Kind[],
): readonly Kind[] {
  return kinds.filter((kind) => tables.has(`${parent}.${kind}`))
}

function rootDirOf(store: BlobStoreConfig | undefined): string | undefined {
  return store?.kind === 'fs' ? store.rootDir : undefined
}

function isWhole(config: Partial<Config>): config is Config {
  return config.blobStore !== undefined && config.metadataStore !== undefined
}
