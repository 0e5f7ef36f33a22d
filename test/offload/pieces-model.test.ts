// Goal: however the pieces of sessions come, no digest is ever that of other bytes. Method: two processes
// in turn over one directory, sessions of both kinds in random pieces, and between and within them all that can
// go wrong: bodies that break off, answers whose record is never written, threads that die, restarts, hashers
// pushed out, files that are blobs already. KEELSON_TEST_SEED repeats a run.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { link, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Digest, digestFromHex } from '../../src/oci/digest.ts'
import type { IngestOutcome, IngestPlan } from '../../src/offload/contract.ts'
import { createIngestPool, type RunningIngestPool } from '../../src/offload/ingest-pool.ts'
import { StorageError } from '../../src/storage/error.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { until } from '../support/until.ts'
import { FedBody } from './fed-body.ts'
import { replaceThread } from './scene.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? Date.now() % 1_000_000)
const steps = 300
const piecesMax = 9

interface Session {
  readonly path: string
  readonly algorithm: 'sha256' | 'sha512'
  readonly isChunked: boolean
  /** What a correct registry holds. */
  bytes: Buffer
  pieces: number
  digest: Digest | undefined
  state: string | undefined
  /** Where the last body came to. */
  process: number
  isOver: boolean
}

class Model {
  readonly #dice: Dice
  readonly #directory: string
  readonly #pools: RunningIngestPool[]
  readonly #sessions: Session[] = []
  #names = 0
  /** Bodies that were taken whole. */
  pieces = 0
  ended = 0
  #killed = 0

  constructor(dice: Dice, directory: string) {
    this.#dice = dice
    this.#directory = directory
    this.#pools = [openPool(), openPool()]
    for (let i = 0; i < 4; i++) this.#sessions.push(this.#newSession())
  }

  async step(): Promise<void> {
    const index = this.#dice.below(this.#sessions.length)
    const session = this.#sessions[index]!
    try {
      await this.#goOn(session)
    } catch (error) {
      // What a thread was syncing when it died is lost, and the session with it.
      const isLost = error instanceof StorageError && error.kind === 'corrupt'
      if (!isLost || this.#killed === 0) throw error
      session.isOver = true
    }
    if (session.isOver) this.#sessions[index] = this.#newSession()
  }

  async #goOn(session: Session): Promise<void> {
    const dice = this.#dice
    if (dice.chance(0.15)) session.process = 1 - session.process
    const pool = this.#pools[session.process]!
    if (session.pieces >= piecesMax) {
      await this.#close(session, pool)
      return
    }
    const thrown = dice.below(100)
    if (thrown < 1) await this.#restart(session.process)
    else if (thrown < 2) await this.#killThread(pool)
    else if (thrown < 14) await this.#breakOff(session, pool)
    else if (thrown < 24) await this.#loseRecord(session, pool)
    else if (thrown < 29) pool.forget({ kind: 'fs', path: session.path })
    else if (thrown < 34 && session.bytes.length > 0) await this.#publish(session)
    else await this.#add(session, pool)
  }

  async end(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close()))
  }

  #newSession(): Session {
    this.#names += 1
    return {
      path: join(this.#directory, `${this.#names}`),
      algorithm: this.#dice.chance(0.8) ? 'sha256' : 'sha512',
      isChunked: this.#dice.chance(0.6),
      bytes: Buffer.alloc(0),
      pieces: 0,
      digest: undefined,
      state: undefined,
      process: this.#dice.below(2),
      isOver: false,
    }
  }

  // Few lengths, so that other bytes often have the very length of those that were kept.
  #piece(): Buffer {
    const length = this.#dice.pick([1, 40_000, 40_000, 40_000, 200_000])
    return Buffer.alloc(length, `${this.#dice.below(1e9)}`)
  }

  #plan(session: Session, changes: Partial<IngestPlan> = {}): IngestPlan {
    const { path, algorithm, bytes, digest, state, isChunked } = session
    return {
      target: { kind: 'fs', path },
      offset: bytes.length,
      algorithm,
      ...(digest && !this.#dice.chance(0.05) ? { digest } : {}),
      hash: isChunked ? { kind: 'exportable', ...(state && { state }) } : { kind: 'stream' },
      keepsHasher: isChunked || bytes.length > 0,
      bytesMax: Number.MAX_SAFE_INTEGER,
      sync: this.#dice.chance(0.1),
      ...changes,
    }
  }

  async #add(session: Session, pool: RunningIngestPool, isLast = false): Promise<void> {
    const piece = this.#piece()
    const plan = this.#plan(session, isLast ? { sync: true, keepsHasher: false } : {})
    const outcome = await pool.receive(plan, bodyOf(piece))
    this.#check(session, outcome, piece)
    assert.ok(outcome.kind === 'complete')
    session.bytes = Buffer.concat([session.bytes, piece])
    session.digest = outcome.digest
    session.state = outcome.hashState
    session.pieces += 1
  }

  #check(session: Session, outcome: IngestOutcome, piece: Buffer): void {
    const { bytes, algorithm } = session
    const hex = createHash(algorithm).update(bytes).update(piece).digest('hex')
    assert.ok(outcome.kind === 'complete')
    assert.equal(outcome.offset, bytes.length + piece.length)
    assert.equal(outcome.digest, digestFromHex(algorithm, hex))
    this.pieces += 1
  }

  /** The piece arrives, and what it answers reaches nobody. */
  async #loseRecord(session: Session, pool: RunningIngestPool): Promise<void> {
    const piece = this.#piece()
    this.#check(session, await pool.receive(this.#plan(session), bodyOf(piece)), piece)
    // The client tries again, most often elsewhere, and then comes back.
    if (!this.#dice.chance(0.7)) return
    session.process = 1 - session.process
    await this.#goOn(session)
    session.process = 1 - session.process
  }

  async #breakOff(session: Session, pool: RunningIngestPool): Promise<void> {
    const body = new FedBody().feed(this.#piece())
    let isRefused = false
    const receiving = pool.receive(this.#plan(session), body)
    // What was lost with a thread is refused before a byte of it is taken.
    receiving.catch(() => {
      isRefused = true
    })
    if (this.#dice.chance(0.7)) await until('it came', () => isRefused || body.backlog === 0)
    body.abort()
    assert.deepEqual(await receiving, { kind: 'aborted' })
  }

  /** With a body under way in it, or none. */
  async #killThread(pool: RunningIngestPool): Promise<void> {
    this.#killed += 1
    const path = join(this.#directory, 'victim')
    const body = new FedBody().feed(this.#piece())
    const plan = this.#plan({ ...this.#newSession(), path })
    const receiving = pool.receive(plan, body).catch((error: unknown) => {
      assert.ok(error instanceof StorageError)
    })
    await replaceThread(pool, this.#dice.pick(pool.threads))
    body.abort()
    await receiving
  }

  async #restart(index: number): Promise<void> {
    await this.#pools[index]!.close()
    this.#pools[index] = openPool()
  }

  /** A blob by another name, of which the session goes on with a copy. */
  async #publish({ path, bytes }: Session): Promise<void> {
    this.#names += 1
    await link(path, join(this.#directory, `blob-${this.#names}-${bytes.length}`))
  }

  async #close(session: Session, pool: RunningIngestPool): Promise<void> {
    await this.#add(session, pool, true)
    assert.ok((await readFile(session.path)).equals(session.bytes), 'other bytes are staged')
    this.ended += 1
    session.isOver = true
  }
}

function openPool(): RunningIngestPool {
  return createIngestPool({
    workers: 2,
    slabBytes: 64 << 10,
    slabsPerUpload: 2,
    memoryBudgetBytes: 4 << 20,
    durability: 'fsync',
    keptHashersMax: 2,
  })
}

function bodyOf(bytes: Buffer): FedBody {
  const half = bytes.length >> 1
  return new FedBody().feed(bytes.subarray(0, half)).feed(bytes.subarray(half), true)
}

test(`sessions in random pieces end with the digest of their bytes (seed ${seed})`, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'keelson-pieces-'))
  const model = new Model(new Dice(randomFrom(seed)), directory)
  try {
    for (let step = 0; step < steps; step++) await model.step()
    assert.ok(model.pieces > steps / 2 && model.ended > 0)
  } finally {
    await model.end()
    await rm(directory, { recursive: true })
  }
})
