// Configuration → the running registry. The only place that makes long-lived things, and ends them.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import type { BasicUser } from './authenticate/basic.ts'
import { createAuthenticator } from './authenticate/create.ts'
import type { OidcProviders } from './authenticate/oidc/contract.ts'
import { openOidcProviders } from './authenticate/oidc/open.ts'
import { createChallenges } from './authenticate/token/challenge.ts'
import type { UserDirectory } from './authenticate/token/contract.ts'
import { createUserDirectory } from './authenticate/token/directory.ts'
import { createRegistryTokens } from './authenticate/token/registry-tokens.ts'
import { loadUsers } from './authenticate/users.ts'
import { type Authorize, createAuthorize } from './authorize/authorize.ts'
import { compilePolicies } from './authorize/policy/compile.ts'
import { ConfigError } from './config/problem.ts'
import type { Config } from './config/schema.ts'
import type { IngestPool } from './offload/contract.ts'
import { createCredentialPool } from './offload/credential-pool.ts'
import { createIngestPool } from './offload/ingest-pool.ts'
import { BlobReaders } from './operation/blob-readers.ts'
import { startUploadExpiry } from './operation/expire-uploads.ts'
import type { Registry } from './operation/registry.ts'
import { ReplyCache } from './operation/reply-cache.ts'
import { openTokens, type Tokens } from './operation/token/open.ts'
import { UploadTable } from './operation/upload-table.ts'
import { type AdminListener, listenAdmin } from './server/admin.ts'
import { createProxyTrust } from './server/forwarded.ts'
import {
  closeListeners,
  drain,
  hasFallenBack,
  inFlight,
  type ListenerDefaults,
  type OpenListener,
  openListeners,
} from './server/listen.ts'
import { Pipeline } from './server/pipeline.ts'
import { replyHeaders } from './server/reply-headers.ts'
import {
  certificateLog,
  logDenial,
  logLogin,
  logToken,
  logTokenAdmin,
} from './server/security-log.ts'
import { keepTls, type TlsKeeper } from './server/tls/keep.ts'
import { Admission } from './server/transport/admission.ts'
import type { BlobStore } from './storage/blob/contract.ts'
import { openFsBlobStore } from './storage/blob/fs/store.ts'
import { MemoryBlobStore } from './storage/blob/memory/store.ts'
import type { MetadataStore } from './storage/metadata/contract.ts'
import { openLmdbMetadataStore } from './storage/metadata/lmdb/open.ts'
import { MemoryMetadataStore } from './storage/metadata/memory/store.ts'
import type { TokenStore } from './storage/metadata/token-store.ts'
import { isProcessAlive, processIdentity } from './storage/process-identity.ts'
import { AuthCounts } from './telemetry/auth-counts.ts'
import { type EdgeCounts, newEdgeCounts } from './telemetry/edge-counts.ts'
import type { Logger } from './telemetry/log.ts'
import { createMetrics, type PolicyCounts } from './telemetry/metrics.ts'

const clocks = { now: Date.now, elapsed: () => performance.now() }
// Open files kept for blobs that nobody reads at the moment.
const idleReadersMax = 256
// First logins that may wait for a thread: at 20 ms each, about the time that a client waits.
const loginsWaitingMax = 256

export interface Runtime {
  readonly listeners: readonly OpenListener[]
  readonly admin: AdminListener | undefined
  /** Read the TLS files again, as SIGHUP asks; what cannot be used leaves the old in place. */
  reload(): Promise<void>
  /**
   * Stop taking connections, wait for what is in flight (`server.shutdown_timeout`), then end
   * everything in the order that keeps acknowledged writes. True where nothing had to be cut.
   */
  stop(): Promise<boolean>
}

/** Errors: Error with a message for the operator: a locked or unusable store, a taken port. */
export async function startRuntime(config: Config, log: Logger): Promise<Runtime> {
  const closers: Array<() => unknown> = []
  try {
    return await build(config, log, closers)
  } catch (error) {
    await closeAll(closers, log)
    throw error
  }
}

// The last made ends first. One that fails must not keep the others, least of all the store, from ending.
async function closeAll(closers: ReadonlyArray<() => unknown>, log: Logger): Promise<void> {
  for (const close of closers.toReversed()) {
    try {
      await close()
    } catch (error) {
      log.error({ err: error }, 'stopping: a part did not end well')
    }
  }
}

async function build(config: Config, log: Logger, closers: Array<() => unknown>): Promise<Runtime> {
  const policyCounts: PolicyCounts = { ruleErrors: 0 }
  const authorize = createPolicy(config, policyCounts, log)
  const tls = await openTls(config, log)
  if (tls !== undefined) closers.push(() => tls.close())
  const metadata = await openMetadata(config, log)
  closers.push(() => metadata.close())
  const blobs = await openBlobs(config)
  closers.push(() => blobs.close())
  const ingest = createPool(config, blobs)
  closers.push(() => ingest.close())
  const registry = createRegistry(config, { metadata, blobs, ingest }, log)
  closers.push(() => registry.readers.close())
  const expiry = startUploadExpiry(registry, config.ingest.sessionExpiryMs)
  closers.push(() => expiry.stop())

  const counts = newEdgeCounts()
  const logins = new AuthCounts()
  const credentials = createCredentialPool({
    workers: Math.max(1, Math.floor(availableParallelism() / 2)),
    queueMax: loginsWaitingMax,
  })
  closers.push(() => credentials.close())
  const oidc = openOidcProviders(config.auth.oidc, {
    ...{ pool: credentials, ...clocks, log },
  })
  closers.push(() => oidc.close())
  const users = basicUsers(config)
  const directory = createUserDirectory(users, oidc.names)
  const { tokenService } = config.auth
  const tokens = await openTokenParts(config, metadata, directory, log)
  closers.push(() => tokens.keeper.close())
  const { now, elapsed } = clocks
  const authenticator = createAuthenticator({
    ...{ users, verifyPassword: credentials.verifyPassword, oidc, counts: logins, now, elapsed },
    onLogin: (login) => logLogin(login, log),
    tokens: createRegistryTokens({
      ...{ service: tokenService?.service, state: tokens.keeper, directory, now },
      verifySignature: credentials.verifySignature,
    }),
  })
  const trust = createProxyTrust(config.server.trustedProxies)
  const { clientAddress, origin } = trust
  const challenges = createChallenges(tokenService)
  const pipeline = new Pipeline({
    ...{ registry, authenticator, authorize, clientAddress, challenges, origin, log },
    tokens: tokens.service,
  })
  const listeners = await openListeners(
    config.listeners,
    edgeOptions(config, pipeline, { counts, log, trusts: trust.trusts }),
    () => tls?.material,
  )
  closers.push(() => closeListeners(listeners))
  tls?.onRenew(async (material) => {
    const secure = listeners.filter((each) => each.tls)
    await Promise.all(secure.map(({ listener }) => listener.renewTls(material)))
  })
  const admin = await openAdmin(config, {
    ...{ registry, listeners, counts, policyCounts, logins, oidc, tls, tokens },
  })
  if (admin !== undefined) closers.push(() => admin.close())
  return {
    listeners,
    admin,
    reload: async () => {
      await tls?.reload()
    },
    stop: async () => {
      const idle = await drain(listeners, config.server.shutdownTimeoutMs)
      await closeAll(closers, log)
      return idle
    },
  }
}

function createPolicy(config: Config, counts: PolicyCounts, log: Logger): Authorize {
  const { policies, problems } = compilePolicies(config.global.accessPolicy, config.repositories)
  if (policies === undefined) throw new ConfigError(problems)
  return createAuthorize(policies, {
    onRuleError: (rule, error, isFirst) => {
      counts.ruleErrors += 1
      const { file, line } = rule.place
      if (isFirst) log.warn({ rule: rule.text, file, line, reason: error }, 'a policy rule failed')
    },
    onDenied: (denial) => logDenial(denial, log),
    randomUuid: randomUUID,
    canLogIn:
      config.auth.identities.length + config.auth.oidc.length > 0 ||
      config.auth.htpasswd !== undefined ||
      config.auth.tokenService !== undefined,
  })
}

function openTokenParts(
  config: Config,
  store: MetadataStore & TokenStore,
  directory: UserDirectory,
  log: Logger,
): Promise<Tokens> {
  return openTokens(config.auth.tokenService, {
    ...{ store, directory, shared: config.storage.sharing === 'shared' },
    onEvent: (event) => logToken(event, log),
    onCall: (event) => logTokenAdmin(event, log),
    onFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  })
}

function basicUsers(config: Config): readonly BasicUser[] {
  const { users, problems } = loadUsers(config.auth)
  if (problems.length > 0) throw new ConfigError(problems)
  return users
}

async function openTls(config: Config, log: Logger): Promise<TlsKeeper | undefined> {
  if (config.tls === undefined || !config.listeners.some((each) => each.tls)) return undefined
  return keepTls(config.tls, log)
}

interface EdgeParts {
  readonly counts: EdgeCounts
  readonly log: Logger
  readonly trusts: (peerAddress: string) => boolean
}

function edgeOptions(config: Config, pipeline: Pipeline, parts: EdgeParts): ListenerDefaults {
  const { headers, limits, server } = config
  return {
    ...parts,
    choice: server.transport,
    tlsConfig: config.tls,
    admission: new Admission(limits),
    pace: {
      handshakeMs: limits.handshakeTimeoutMs,
      headersMs: limits.headersTimeoutMs,
      stallMs: limits.stallTimeoutMs,
      keepAliveMs: limits.keepAliveTimeoutMs,
      receiveRateMin: limits.receiveRateMinBytes,
      sendRateMin: limits.sendRateMinBytes,
      graceMs: limits.rateGraceMs,
    },
    replyHeaders: (secure) => replyHeaders(headers, secure),
    busy: (limit) => pipeline.busy(limit),
    onCertificateRefused: certificateLog(parts.log, () => performance.now()),
    handler: (exchange) => pipeline.handle(exchange),
    refuse: (reason) => pipeline.refuse(reason),
    onFault: (error) => pipeline.fault(error),
  }
}

async function openMetadata(config: Config, log: Logger): Promise<MetadataStore & TokenStore> {
  const { metadataStore, storage } = config
  if (metadataStore.kind === 'memory') return new MemoryMetadataStore()
  await mkdir(metadataStore.path, { recursive: true, mode: 0o700 })
  return openLmdbMetadataStore({
    path: metadataStore.path,
    durability: storage.durability,
    sharing: storage.sharing,
    now: Date.now,
    onNotice: (notice: string) => log.info(notice),
  })
}

function openBlobs(config: Config): Promise<BlobStore> {
  const { blobStore, storage } = config
  if (blobStore.kind === 'memory') return Promise.resolve(new MemoryBlobStore())
  return openFsBlobStore({ rootDir: blobStore.rootDir, durability: storage.durability })
}

function createPool(config: Config, blobs: BlobStore): IngestPool {
  const { ingest, storage } = config
  return createIngestPool({
    workers: ingest.workers === 'auto' ? Math.max(1, availableParallelism() - 1) : ingest.workers,
    slabBytes: ingest.slabSizeBytes,
    slabsPerUpload: ingest.slabsPerUpload,
    memoryBudgetBytes: ingest.memoryBudgetBytes,
    durability: storage.durability,
    ...(blobs instanceof MemoryBlobStore ? { memory: blobs } : {}),
  })
}

interface Stores {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly ingest: IngestPool
}

function createRegistry(config: Config, stores: Stores, log: Logger): Registry {
  const { cache, gc, global, ingest, server, storage } = config
  return {
    ...stores,
    limits: {
      manifestBytesMax: global.maxManifestSizeBytes,
      blobBytesMax: global.maxBlobSizeBytes,
      descriptorsMax: global.descriptorsMax,
      allowMissingManifests: global.allowMissingManifests,
      allowMissingBlobs: global.allowMissingBlobs,
      graceMs: gc.graceMs,
    },
    // Not the wall clock: one that is set must not make a client look silent.
    uploads: new UploadTable(ingest.sessionsMax, () => performance.now()),
    replies: new ReplyCache(cache.replyBytes),
    readers: new BlobReaders(stores.blobs, idleReadersMax),
    shared: storage.sharing === 'shared',
    owner: processIdentity(),
    isOwnerAlive: isProcessAlive,
    bootId: bootId(),
    externalUrl: server.externalUrl ?? '',
    now: Date.now,
    randomUuid: randomUUID,
    onBackgroundFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  }
}

// Where there is none, every process counts as another boot: staged bytes are then hashed again.
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return randomUUID()
  }
}

interface AdminParts {
  readonly registry: Registry
  readonly listeners: readonly OpenListener[]
  readonly counts: EdgeCounts
  readonly policyCounts: PolicyCounts
  readonly logins: AuthCounts
  readonly oidc: OidcProviders
  readonly tls: TlsKeeper | undefined
  readonly tokens: Tokens
}

async function openAdmin(config: Config, parts: AdminParts): Promise<AdminListener | undefined> {
  const { socket } = config.admin
  if (socket === undefined) return undefined
  const { registry, listeners, counts, policyCounts, logins, oidc, tls, tokens } = parts
  const startedAtMs = Date.now()
  const listening = listeners.map(({ listener, transport, tls }) => {
    return { ...listener.local, transport, tls }
  })
  const metrics = createMetrics({
    edge: counts,
    policy: policyCounts,
    logins,
    oidc: () => oidc.status(),
    tokens: () => tokens.keeper.status,
    tls: () => tls?.status(),
    listeners: listening,
    gauges: () => ({
      requests_in_flight: inFlight(listeners),
      uploads_open: registry.uploads.size,
    }),
    fellBack: hasFallenBack(config.server.transport),
  })
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 })
  const routes = {
    '/healthz': () => ({ status: 'ok' }),
    '/readyz': async () => {
      await Promise.all([registry.metadata.probe(), registry.blobs.probe()])
      return { status: 'ready' }
    },
    '/metrics': () => metrics.render(),
    '/tokens': async () => (await tokens.admin.list()).body,
    '/status': () => ({
      pid: process.pid,
      uptimeSeconds: Math.round((Date.now() - startedAtMs) / 1000),
      listening,
      requestsInFlight: inFlight(listeners),
      uploadsOpen: registry.uploads.size,
      ingest: registry.ingest.gauges,
      edge: counts,
      tls: tls?.status(),
      oidc: oidc.status(),
      tokens: tokens.keeper.status,
    }),
  }
  return listenAdmin(socket, routes, {
    '/tokens/create': (input) => tokens.admin.create(input),
    '/tokens/revoke': (input) => tokens.admin.revoke(input),
  })
}
