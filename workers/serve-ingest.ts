// One ingest thread: takes messages from its port until it is told to leave.

import { type MessagePort, threadId } from 'node:worker_threads'
import { BodySession, type BodySessionContext } from './body-session.ts'
import { HashMeter } from './hash-meter.ts'
import { HashTurns } from './hash-turns.ts'
import { createStreamHasher } from './hasher.ts'
import { KeptHashers } from './kept-hashers.ts'
import { PacedReading } from './paced-reading.ts'
import { Rereader, type RereadUse } from './reread.ts'
import { ingestFailure } from './staged-file.ts'
import { StagedPlaces } from './staged-places.ts'
import type {
  BodyPlan,
  FromIngestThread,
  IngestResult,
  IngestThreadTask,
  SessionNumber,
  ToIngestThread,
} from './tasks.ts'

type Rehash = Extract<ToIngestThread, { kind: 'rehash' }>
const noSlabs: readonly ArrayBuffer[] = []

type Slab = Extract<ToIngestThread, { kind: 'slab' }>

/** Resolves after `leave`. Never rejects: failures go over the port as data. */
export function serveIngest(task: IngestThreadTask): Promise<void> {
  return new Promise((resolve) => new IngestThread(task, resolve))
}

class IngestThread {
  readonly #port: MessagePort
  readonly #leave: () => void
  readonly #turns: HashTurns
  readonly #rereader: Rereader
  readonly #kept: KeptHashers
  readonly #places: StagedPlaces
  readonly #sessions = new Map<SessionNumber, BodySession>()
  readonly #paced = new Map<SessionNumber, PacedReading>()

  constructor(task: IngestThreadTask, leave: () => void) {
    const { takenPort: port, hashFigures, keptHashersMax } = task
    this.#port = port
    this.#turns = new HashTurns(new HashMeter(hashFigures))
    this.#rereader = new Rereader(this.#turns)
    this.#kept = new KeptHashers(keptHashersMax)
    this.#places = new StagedPlaces((attempt) => this.#post({ kind: 's3', attempt }))
    this.#leave = leave
    this.#post({ kind: 'serving', threadId })
    port.on('message', (message: ToIngestThread) => this.#take(message))
  }

  #take(message: ToIngestThread): void {
    switch (message.kind) {
      case 'slab':
        this.#takeSlab(message)
        break
      case 'prepare':
        this.#prepare(message.session, this.#begin(message.session, message.plan))
        break
      case 'abort':
        this.#abort(message.session)
        break
      case 'rehash':
        this.#rehash(message)
        break
      case 'granted':
        this.#paced.get(message.session)?.grant()
        break
      case 'forget':
        this.#kept.drop(message.path)
        break
      case 'ping':
        this.#done(message.session, { ok: true, hex: '' })
        break
      case 'leave':
        this.#port.close()
        this.#places.close()
        this.#leave()
        break
      default:
        message satisfies never
    }
  }

  #begin(number: SessionNumber, plan: BodyPlan): BodySession {
    const context: BodySessionContext = {
      turns: this.#turns,
      rereader: this.#rereader,
      kept: this.#kept,
      places: this.#places,
      giveBack: (slab) => this.#giveBack(number, slab),
    }
    const session = new BodySession(plan, context)
    this.#sessions.set(number, session)
    return session
  }

  #prepare(number: SessionNumber, session: BodySession): void {
    void session.prepared().then((isReady) => {
      if (this.#sessions.get(number) !== session) return
      if (isReady) this.#post({ kind: 'ready', session: number })
      else this.#end(number, session)
    })
  }

  #takeSlab(message: Slab): void {
    const { session: number, plan, takenSlab, length, isLast } = message
    const session = plan ? this.#begin(number, plan) : this.#sessions.get(number)
    // A session that has failed or ended meanwhile has no use for what was under way to it.
    if (takenSlab && session) session.take(takenSlab, length)
    else if (takenSlab) this.#giveBack(number, takenSlab)
    if (session && (isLast || session.hasFailed)) this.#end(number, session)
  }

  #end(number: SessionNumber, session: BodySession): void {
    this.#sessions.delete(number)
    void session.end().then(({ result, synced, takenSlabs }) => {
      this.#done(number, result, takenSlabs)
      synced?.then(
        () => this.#post({ kind: 'synced', session: number }),
        (error: unknown) =>
          this.#post({ kind: 'synced', session: number, detail: ingestFailure(error).message }),
      )
    })
  }

  #abort(number: SessionNumber): void {
    this.#paced.get(number)?.stop()
    const session = this.#sessions.get(number)
    // One that has ended by itself sends its own `done`.
    if (!session) return
    this.#sessions.delete(number)
    void session.abort().then(() => {
      this.#done(number, { ok: false, code: 'unavailable', detail: 'the body was aborted' })
    })
  }

  #rehash(message: Rehash): void {
    void this.#hexOf(message).then(
      (hex) => this.#done(message.session, { ok: true, hex }),
      (error: unknown) => {
        const { code, message: detail } = ingestFailure(error)
        this.#done(message.session, { ok: false, code, detail })
      },
    )
  }

  async #hexOf(message: Rehash): Promise<string> {
    const { place, length, algorithm, session } = message
    const file = await this.#places.whole(place, length)
    try {
      const hasher = createStreamHasher(algorithm)
      await this.#rereader.hash(file, length, hasher, this.#paceOf(message))
      return hasher.hex()
    } finally {
      this.#paced.delete(session)
      await file.close()
    }
  }

  #paceOf({ session, length, isPaced }: Rehash): RereadUse {
    if (isPaced !== true) return {}
    const paced = new PacedReading(length, (bytes) => this.#post({ kind: 'asked', session, bytes }))
    this.#paced.set(session, paced)
    return { upTo: (position) => paced.upTo(position) }
  }

  #giveBack(session: SessionNumber, takenSlab: ArrayBuffer): void {
    this.#post({ kind: 'returned', session, takenSlab }, [takenSlab])
  }

  #done(
    session: SessionNumber,
    result: IngestResult,
    takenSlabs: readonly ArrayBuffer[] = noSlabs,
  ): void {
    this.#post({ kind: 'done', session, result, takenSlabs }, takenSlabs)
  }

  #post(message: FromIngestThread, transferred: readonly ArrayBuffer[] = noSlabs): void {
    if (transferred.length > 0) this.#port.postMessage(message, transferred)
    else this.#port.postMessage(message)
  }
}
