// Answers for a registry inside the test process: the real pipeline, operations, stores and ingest
// pool, each of which a test may wrap. Requests are objects, so that nothing but the registry is slow.

import assert from 'node:assert/strict'
import { randomUUID as randomUuid } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthenticator } from '../../src/authenticate/create.ts'
import { createChallenges } from '../../src/authenticate/token/challenge.ts'
import { createAuthorize } from '../../src/authorize/authorize.ts'
import { compilePolicies } from '../../src/authorize/policy/compile.ts'
import type { RequestBody } from '../../src/http/body.ts'
import type { Reply } from '../../src/http/reply.ts'
import type { IngestPool } from '../../src/offload/contract.ts'
import { createIngestPool } from '../../src/offload/ingest-pool.ts'
import { BlobReaders } from '../../src/operation/blob-readers.ts'
import { BodyRoom } from '../../src/operation/body-room.ts'
import { PullTimes } from '../../src/operation/pull-times.ts'
import type { Registry } from '../../src/operation/registry.ts'
import { ReplyCache } from '../../src/operation/reply-cache.ts'
import { SelfReport } from '../../src/operation/self-report.ts'
import { UploadTable } from '../../src/operation/upload-table.ts'
import { Observer } from '../../src/server/observe.ts'
import { Pipeline } from '../../src/server/pipeline.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import type { BlobStore } from '../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'
import type { MetadataStore } from '../../src/storage/metadata/contract.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import { AccessCounts } from '../../src/telemetry/access-log.ts'
import { AuthCounts } from '../../src/telemetry/auth-counts.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { RequestMetrics } from '../../src/telemetry/request-metrics.ts'
import { FedBody } from '../offload/fed-body.ts'
import { openFilesBelow } from '../support/open-files.ts'
import type { Answer } from '../support/registry-client.ts'
import { until } from '../support/until.ts'

export interface Stores {
  readonly blobs: BlobStore
  readonly metadata: MetadataStore
  readonly ingest: IngestPool
}

export interface InProcessOptions {
  /** In place of its own, over a temporary folder; who gives them ends them. */
  readonly stores?: Stores
  /** What the registry sees of the stores. */
  readonly wrap?: (stores: Stores) => Stores
  readonly registry?: Partial<Registry>
  /** In place of the stages' own. */
  readonly pipeline?: Partial<ConstructorParameters<typeof Pipeline>[0]>
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | RequestBody
}

const pieceBytes = 64 << 10

export class InProcess {
  readonly rootDir: string
  /** Unwrapped. */
  readonly stores: Stores
  readonly registry: Registry
  /** Faults of work that nobody waited for. */
  readonly backgroundFaults: unknown[]
  readonly #pipeline: Pipeline

  private constructor(
    rootDir: string,
    stores: Stores,
    registry: Registry,
    backgroundFaults: unknown[],
    stages: InProcessOptions['pipeline'],
  ) {
    this.rootDir = rootDir
    this.stores = stores
    this.registry = registry
    this.backgroundFaults = backgroundFaults
    const log = { error: () => undefined, warn: () => undefined } as unknown as Logger
    const { policies } = compilePolicies({ default: 'allow', rules: [] }, [])
    assert.ok(policies)
    const authorize = createAuthorize(policies, {
      onRuleError: (_rule, error) => assert.fail(error),
      randomUuid,
    })
    this.#pipeline = new Pipeline({
      ...{ registry, authorize, log },
      audit: { refusal: () => randomUuid() },
      authenticator: createAuthenticator({
        ...{
          oidc: undefined,
          users: [],
          verifyPassword: () => Promise.resolve(false),
          counts: new AuthCounts(),
        },
        ...{ onLogin: () => undefined, now: Date.now, elapsed: () => performance.now() },
      }),
      observer: new Observer({
        config: { access: 'none', accessSample: 1 },
        ...{ log, randomUuid, metrics: new RequestMetrics(), accessCounts: new AccessCounts() },
        clientAddress: (exchange) => exchange.remoteAddress,
        trusts: () => false,
      }),
      challenges: createChallenges(undefined),
      origin: () => undefined,
      tokens: undefined,
      ...stages,
    })
  }

  static async open(options: InProcessOptions = {}): Promise<InProcess> {
    const rootDir = options.stores ? '' : await mkdtemp(join(tmpdir(), 'keelson-in-process-'))
    const stores = options.stores ?? (await openStores(rootDir))
    const seen = options.wrap?.(stores) ?? stores
    const faults: unknown[] = []
    const now = options.registry?.now ?? Date.now
    const registry: Registry = {
      ...seen,
      limits: {
        descriptorsMax: 100,
        allowMissingManifests: true,
        allowMissingBlobs: false,
        graceMs: 3_600_000,
      },
      rules: {
        quotas: [],
        rulesFor: () => ({
          manifestBytesMax: 4 << 20,
          blobBytesMax: 1 << 30,
          isImmutable: () => false,
          quotas: [],
          validations: [],
        }),
      },
      uploads: new UploadTable(100, now),
      bodies: new BodyRoom(64 << 20, 4 << 20),
      // Every read asks the stores.
      replies: new ReplyCache(0),
      pulls: new PullTimes({
        ...{ store: { recordPulls: async () => undefined }, now, isOn: false },
        onFault: (error) => faults.push(error),
      }),
      readers: new BlobReaders(seen.blobs, 16),
      report: new SelfReport(),
      shared: false,
      owner: () => 'this process',
      isOwnerAlive: (owner) => owner === 'this process',
      bootId: 'this boot',
      externalUrl: '',
      now,
      randomUuid,
      onBackgroundFault: (_what, error) => faults.push(error),
      ...options.registry,
    }
    return new InProcess(rootDir, stores, registry, faults, options.pipeline)
  }

  send(method: string, target: string, options: SendOptions = {}): Promise<Answer> {
    const [path = '', query = ''] = target.split('?')
    const { headers = {}, body = new Uint8Array(0) } = options
    return new Promise((resolve, reject) => {
      const exchange: Exchange = {
        ...{ method, path, query, remoteAddress: '127.0.0.1', aborted: false },
        ...{ isSecure: false, certificate: undefined },
        body: body instanceof Uint8Array ? bodyOf(body) : body,
        header: (name) => headers[name] ?? '',
        headerLines: (name) => (headers[name] === undefined ? [] : [headers[name]]),
        detach: () => undefined,
        onAbort: () => undefined,
        send: (reply) => this.#answer(reply).then(resolve, reject),
      }
      this.#pipeline.handle(exchange)
    })
  }

  /** Nothing that a request used is still in use. Errors: AssertionError; an Error after 10 s. */
  async assertAtRest(): Promise<void> {
    const { ingest } = this.stores
    await until('every slab is back', () => ingest.gauges.slabBytesInUse === 0)
    assert.equal(ingest.gauges.receiving, 0)
    const staged = join(this.rootDir, '_keelson', 'uploads')
    await until('no staged file is open', () => openFilesBelow(staged).length === 0)
  }

  /** Errors: AssertionError where a blob is still open. */
  async close(): Promise<void> {
    this.registry.readers.close()
    const blobs = join(this.rootDir, 'blobs')
    await until('no blob is open', () => openFilesBelow(blobs).length === 0)
    await this.abandon()
  }

  async abandon(): Promise<void> {
    const { blobs, metadata, ingest } = this.stores
    await ingest.close()
    await blobs.close()
    await metadata.close()
    await rm(this.rootDir, { recursive: true, force: true })
  }

  // As a transport does: a fault before the first byte is answered, a later one cuts the body.
  async #answer(reply: Reply): Promise<Answer> {
    const headers: Record<string, string> = {}
    for (const [name, value] of reply.headers.pairs) headers[name.toLowerCase()] = value
    const { status } = reply
    if (reply.kind === 'whole') {
      return { status, headers, body: Buffer.from(reply.body ?? new Uint8Array(0)) }
    }
    if (reply.kind !== 'stream') return { status, headers, body: Buffer.alloc(0) }
    const { source } = reply
    const body = Buffer.alloc(source.length)
    try {
      for (let at = 0; at < body.length; ) {
        const part = body.subarray(at, at + pieceBytes)
        at += source.readNow(at, part) ?? (await source.read(at, part))
      }
      return { status, headers, body }
    } catch (error) {
      return await this.#answer(this.#pipeline.fault(error))
    } finally {
      source.close()
    }
  }
}

async function openStores(rootDir: string): Promise<Stores> {
  const durability = 'none'
  const blobs = await openFsBlobStore({ rootDir, durability })
  const path = join(rootDir, '_keelson', 'metadata')
  const metadata = await openLmdbMetadataStore({
    ...{ path, durability, sharing: 'exclusive', now: Date.now },
  })
  const ingest = createIngestPool({
    workers: 1,
    slabBytes: 1 << 20,
    slabsPerUpload: 4,
    memoryBudgetBytes: 8 << 20,
    durability,
  })
  return { blobs, metadata, ingest }
}

function bodyOf(bytes: Uint8Array): FedBody {
  const body = new FedBody({ length: bytes.length })
  for (let at = 0; at < bytes.length || at === 0; at += pieceBytes) {
    body.feed(bytes.subarray(at, at + pieceBytes), at + pieceBytes >= bytes.length)
  }
  return body
}
