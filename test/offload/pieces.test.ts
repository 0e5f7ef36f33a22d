// Goal: the pieces of a session are hashed once where it stays in one process, and where it moves it is
// read again twice at most. Method: pools over one directory stand for processes; what they have hashed
// is counted, and the digest is always that of all bytes.
import assert from 'node:assert/strict'
import { link, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RequestBody } from '../../src/http/body.ts'
import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import type { IngestOutcome, IngestPlan } from '../../src/offload/contract.ts'
import type { RunningIngestPool } from '../../src/offload/ingest-pool.ts'
import { parseKeys, type SealingKeys } from '../../src/sealing/keys.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { type PoolScene, replaceThread, withPool } from './scene.ts'

const piece = 150_001
const kinds = ['stream', 'exportable'] as const
type Kind = (typeof kinds)[number]

/** One upload session as its record tells, and the requests that move it on. */
class Pieces {
  offset = 0
  digest: Digest | undefined
  state: string | undefined
  readonly #path: string
  readonly #kind: Kind
  readonly #sealing: { readonly keys: SealingKeys } | undefined

  constructor(path: string, kind: Kind, keys?: SealingKeys) {
    this.#path = path
    this.#kind = kind
    this.#sealing = keys && { keys }
  }

  plan(): IngestPlan {
    const { offset, digest, state } = this
    const isChunk = this.#kind === 'exportable'
    return {
      target: { kind: 'fs', path: this.#path, ...(this.#sealing && { sealing: this.#sealing }) },
      offset,
      algorithm: 'sha256',
      ...(digest === undefined ? {} : { digest }),
      hash: isChunk ? { kind: 'exportable', ...(state && { state }) } : { kind: 'stream' },
      keepsHasher: isChunk || offset > 0,
      bytesMax: Number.MAX_SAFE_INTEGER,
      sync: false,
    }
  }

  body(): FedBody {
    return patternBody(piece, 40_000, { from: this.offset })
  }

  /** A piece by `pool`; resolves to how many bytes were hashed for it. */
  async add(pool: RunningIngestPool, changes: Partial<IngestPlan> = {}): Promise<number> {
    const before = pool.gauges.inThreads.hashedBytes
    const outcome = await pool.receive({ ...this.plan(), ...changes }, this.body())
    this.take(outcome)
    return pool.gauges.inThreads.hashedBytes - before
  }

  take(outcome: IngestOutcome): void {
    assert.ok(outcome.kind === 'complete')
    assert.equal(outcome.offset, this.offset + piece)
    assert.equal(outcome.digest, digestOfBytes('sha256', patternBytes(outcome.offset)))
    this.offset = outcome.offset
    this.digest = outcome.digest
    this.state = outcome.hashState
  }
}

async function withPools(
  body: (one: PoolScene, other: PoolScene, directory: string) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'keelson-pieces-'))
  try {
    await withPool({}, (one) => withPool({}, (other) => body(one, other, directory)))
  } finally {
    await rm(directory, { recursive: true })
  }
}

test('announced chunks are hashed once, also the one that closes the session', async () => {
  await withPool({}, async ({ pool, path }) => {
    const session = new Pieces(path('body'), 'exportable')
    for (let i = 0; i < 8; i++) {
      assert.equal(await session.add(pool), piece)
      assert.equal(session.state, undefined)
    }
    assert.equal(await session.add(pool, { sync: true, keepsHasher: false }), piece)
    assert.ok((await readFile(path('body'))).equals(patternBytes(9 * piece)))
  })
})

test('a stream in pieces reads its first again, for the second one, and no other', async () => {
  await withPool({}, async ({ pool, path }) => {
    const session = new Pieces(path('body'), 'stream')
    const hashed: number[] = []
    for (let i = 0; i < 5; i++) hashed.push(await session.add(pool))
    assert.deepEqual(hashed, [piece, 2 * piece, piece, piece, piece])
  })
})

test('each session goes on in the thread that keeps its hasher', async () => {
  await withPool({ workers: 3 }, async ({ pool, path }) => {
    const sessions = Array.from({ length: 7 }, (_, i) => new Pieces(path(`${i}`), 'exportable'))
    for (let round = 0; round < 5; round++) {
      // In another order each time: by load alone they would go elsewhere.
      sessions.reverse()
      await Promise.all(sessions.map((session) => session.add(pool)))
    }
    assert.equal(pool.gauges.inThreads.hashedBytes, 7 * 5 * piece)
  })
})

test('chunks that come to two processes in turn are read again twice, and never after', async () => {
  await withPools(async (one, other, directory) => {
    const session = new Pieces(join(directory, 'body'), 'exportable')
    const hashed: number[] = []
    for (const { pool } of [one, other, one, other, one, other]) {
      hashed.push(await session.add(pool))
    }
    assert.deepEqual(hashed, [piece, 2 * piece, 3 * piece, piece, piece, piece])
    assert.match(session.state ?? '', /^hash-wasm/)
  })
})

test('the same of encrypted chunks, and what is handed on tells nothing of them', async () => {
  await withPools(async (one, other, directory) => {
    const keys = parseKeys(`${'5a'.repeat(31)}5b`)
    const session = new Pieces(join(directory, 'body'), 'exportable', keys)
    const hashed: number[] = []
    for (const { pool } of [one, other, one, other, one, other]) {
      hashed.push(await session.add(pool))
    }
    assert.deepEqual(hashed, [piece, 2 * piece, 3 * piece, piece, piece, piece])
    const state = session.state ?? ''
    assert.match(state, /^sealed\/1:/)
    // Other text each time, and nothing of the hasher's in it.
    assert.doesNotMatch(Buffer.from(state.slice(9), 'base64').toString('latin1'), /hash-wasm/)
    // One that was changed, or that a version before wrote as it was, is not gone on with: the bytes are.
    session.state = `${state.slice(0, -4)}AAAA`
    assert.equal(await session.add(one.pool), 7 * piece)
    session.state = 'hash-wasm/1:sha256:1:AAAA'
    assert.equal(await session.add(other.pool), 8 * piece)
  })
})

test('a session that has moved goes on at full speed where it is, till it moves again', async () => {
  await withPools(async (one, other, directory) => {
    const session = new Pieces(join(directory, 'body'), 'exportable')
    const hashed: number[] = []
    for (const { pool } of [one, one, other, other, other]) hashed.push(await session.add(pool))
    assert.deepEqual(hashed, [piece, piece, 3 * piece, piece, piece])
    assert.doesNotMatch(session.state ?? '', /^hash-wasm/)
    // That it has moved is not forgotten: the second time is the last.
    assert.equal(await session.add(one.pool), 6 * piece)
    assert.equal(await session.add(other.pool), piece)
  })
})

for (const kind of kinds) {
  test(`bytes of another process at the same offset are not taken for ours (${kind})`, async () => {
    await withPools(async (one, other, directory) => {
      const session = new Pieces(join(directory, 'body'), kind)
      await session.add(one.pool)
      const plan = session.plan()
      // The first has taken these, but its record was never written: the client tried elsewhere.
      const lost = new FedBody().feed(Buffer.alloc(piece, 'lost'), true)
      assert.equal((await one.pool.receive(plan, lost)).kind, 'complete')
      session.take(await other.pool.receive(plan, session.body()))
      await session.add(one.pool)
      await session.add(one.pool)
    })
  })

  test(`a body that ends early leaves what was kept as it was (${kind})`, async () => {
    await withPool({}, async ({ pool, path }) => {
      const session = new Pieces(path('body'), kind)
      await session.add(pool)
      await session.add(pool)
      const leave = async (body: FedBody, changes: Partial<IngestPlan> = {}): Promise<void> => {
        const receiving = pool.receive({ ...session.plan(), ...changes }, body)
        await until('it was looked at', () => body.backlog === 0 || body.isPaused)
        body.abort()
        assert.notEqual((await receiving).kind, 'complete')
      }
      const wrong = Buffer.alloc(90_000, 'wrong')
      await leave(new FedBody().feed(wrong))
      await leave(new FedBody().feed(wrong).feed(wrong, true), { bytesExpected: 100_000 })
      await leave(new FedBody().feed(wrong).feed(wrong), { mayGoOn: () => false })
      assert.equal(await session.add(pool), piece)
    })
  })
}

test('a retry that supersedes a silent body goes on from what was kept', async () => {
  await withPool({}, async ({ pool, path }) => {
    const session = new Pieces(path('body'), 'exportable')
    await session.add(pool)
    const silent = new FedBody().feed(Buffer.alloc(piece, 'silent'))
    const first = pool.receive(session.plan(), silent)
    await until('it is delivered', () => silent.backlog === 0)
    await session.add(pool)
    assert.deepEqual(await first, { kind: 'aborted' })
    assert.equal(await session.add(pool), piece)
  })
})

const losses: Readonly<Record<string, (pool: RunningIngestPool, path: string) => Promise<void>>> = {
  'its thread has died': (pool) => replaceThread(pool),
  'others took its place': async (pool, path) => {
    for (const name of ['b', 'c']) await new Pieces(`${path}-${name}`, 'exportable').add(pool)
  },
  'it was let go': async (pool, path) => pool.forget({ kind: 'fs', path }),
  'its bytes are a blob by now': async (_, path) => link(path, `${path}-blob`),
}

for (const [why, lose] of Object.entries(losses)) {
  test(`where ${why}, the file is read again`, async () => {
    // A sync that dies with its thread would end the session.
    await withPool({ keptHashersMax: 2, durability: 'none' }, async ({ pool, path }) => {
      const session = new Pieces(path('body'), 'exportable')
      await session.add(pool)
      await session.add(pool)
      await lose(pool, path('body'))
      assert.equal(await session.add(pool), 3 * piece)
      assert.equal(await session.add(pool), piece)
    })
  })
}

test('without a digest that can be trusted nothing that was kept serves', async () => {
  await withPool({}, async ({ pool, path }) => {
    const session = new Pieces(path('body'), 'exportable')
    await session.add(pool)
    session.digest = undefined
    assert.equal(await session.add(pool), 2 * piece)
  })
})

test('bytes that are gone from the file are missed in spite of what was kept', async () => {
  await withPool({}, async ({ pool, path }) => {
    const session = new Pieces(path('body'), 'exportable')
    await session.add(pool)
    await rm(path('body'))
    const body: RequestBody = session.body()
    await assert.rejects(pool.receive(session.plan(), body), { kind: 'corrupt' })
  })
})
