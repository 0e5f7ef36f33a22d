// Answers for a process that dies inside the test: its stores live on, and whatever it asks of them after its
// end is never answered.

import type { BodySink, RequestBody } from '../../src/http/body.ts'
import type { IngestPool } from '../../src/offload/contract.ts'
import type { BlobStore } from '../../src/storage/blob/contract.ts'
import type { KeyValueStore } from '../../src/storage/metadata/kv/contract.ts'

type Fate = 'lives' | 'dies-before' | 'dies-after'

/** Of the call of a store that is about to begin, or has ended, by its name. */
export type Delay = (call: string) => Promise<void> | undefined

/** One process, from its start to its kill. */
export class Life {
  #isOver = false
  #stepsLeft = Number.POSITIVE_INFINITY
  #diesAfter = false
  #steps = 0
  /** Waited for before and after each call: what others do at the same time comes between. */
  readonly #delay: Delay
  readonly #underWay = new Set<Promise<unknown>>()
  #end: () => void = () => undefined
  /** Resolves when the process is dead. */
  readonly over: Promise<void> = new Promise((resolve) => {
    this.#end = resolve
  })

  constructor(delay: Delay = () => undefined) {
    this.#delay = delay
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Calls that the stores were asked for. */
  get steps(): number {
    return this.#steps
  }

  /** From the call after `steps` more on nothing is answered; `after`: that one still happens. */
  dieIn(steps: number, after: boolean): void {
    this.#stepsLeft = steps
    this.#diesAfter = after
  }

  kill(): void {
    this.#isOver = true
    this.#end()
  }

  /** What was under way at the kill has happened, or failed. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#underWay])
  }

  /** Errors: those of `call`. Never resolves once the process is dead. */
  async perform<T>(name: string, call: () => Promise<T>): Promise<T> {
    await this.#delay(name)
    if (this.#isOver) return await never()
    const fate = this.#fate()
    if (fate !== 'lives') this.kill()
    if (fate === 'dies-before') return await never()
    const running = call()
    this.#underWay.add(running)
    try {
      const result = await running
      await this.#delay(name)
      return this.#isOver ? await never() : result
    } catch (error) {
      if (this.#isOver) return await never()
      throw error
    } finally {
      this.#underWay.delete(running)
    }
  }

  #fate(): Fate {
    this.#steps += 1
    if (this.#stepsLeft-- > 0) return 'lives'
    return this.#diesAfter ? 'dies-after' : 'dies-before'
  }
}

/** The same records, as the process of `life` sees them. */
export function mortalRecords(records: KeyValueStore, life: Life): KeyValueStore {
  return {
    reader: records.reader,
    write: (durability, action) => life.perform('write', () => records.write(durability, action)),
    read: (action) => records.read(action),
    snapshot: () => records.snapshot(),
    refresh: () => records.refresh(),
    // The store is that of the test.
    close: async () => undefined,
  }
}

/** The same blobs, as the process of `life` sees them. */
export function mortalBlobs(blobs: BlobStore, life: Life): BlobStore {
  return new Proxy(blobs, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      const call = member.bind(target) as (...args: readonly unknown[]) => unknown
      if (name === 'close') return async () => undefined
      if (!waited.has(name)) return call
      return (...args: readonly unknown[]) => life.perform(String(name), async () => call(...args))
    },
  })
}

/**
 * The same threads, as the process of `life` sees them. They outlive it, but not its bodies and readings:
 * what is under way at the kill ends there, so that it does not stand in the way of the next process.
 */
export function mortalIngest(ingest: IngestPool, life: Life): IngestPool {
  const dead = life.over.then(() => Promise.reject(new Error('the process is dead')))
  dead.catch(() => undefined)
  const orNever = async <T>(call: Promise<T>): Promise<T> => {
    const [outcome] = await Promise.allSettled([call])
    return life.isOver ? await never() : outcome.status === 'fulfilled' ? outcome.value : call
  }
  return {
    receive: (plan, body) => {
      const cut = new CutBody(body)
      void life.over.then(() => cut.cut())
      return orNever(ingest.receive(plan, cut).finally(() => cut.end()))
    },
    rehash: (target, length, algorithm, pace) =>
      orNever(
        ingest.rehash(
          target,
          length,
          algorithm,
          pace && ((bytes) => Promise.race([pace(bytes), dead])),
        ),
      ),
    sync: (target) => orNever(ingest.sync(target)),
    forget: (target) => ingest.forget(target),
    ping: () => orNever(ingest.ping()),
    get gauges() {
      return ingest.gauges
    },
    get taking() {
      return ingest.taking
    },
    // The threads are those of the test.
    close: async () => undefined,
  }
}

/** A body whose sender dies with the process. */
class CutBody implements RequestBody {
  readonly #body: RequestBody
  #sink: BodySink | undefined
  #isOver = false

  constructor(body: RequestBody) {
    this.#body = body
  }

  get length(): number | undefined {
    return this.#body.length
  }

  consume(sink: BodySink): void {
    if (this.#isOver) {
      sink.onAbort()
      return
    }
    this.#sink = sink
    this.#body.consume({
      onChunk: (chunk, last) => {
        if (this.#isOver) return
        this.#isOver = last
        sink.onChunk(chunk, last)
      },
      onAbort: () => this.cut(),
    })
  }

  pause(): void {
    this.#body.pause()
  }

  resume(): void {
    this.#body.resume()
  }

  cut(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#sink?.onAbort()
  }

  /** Nobody takes it any more. */
  end(): void {
    this.#isOver = true
  }
}

const waited: ReadonlySet<string | symbol> = new Set<keyof BlobStore>([
  ...(['open', 'size', 'stagedSize', 'openStaged', 'publish', 'discard', 'remove'] as const),
  ...(['syncRemoved', 'quarantine'] as const),
])

function never<T>(): Promise<T> {
  return new Promise(() => undefined)
}
