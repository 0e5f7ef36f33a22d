// Threads for password hashes and for signatures, apart from those that write uploads and apart from each
// other: none starves another, and a hash never takes the process-wide threads that read files.

import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import type { PasswordTask } from '../../workers/password-task.ts'
import type { VerifyTokenTask } from '../../workers/verify-token-task.ts'
import { OciError } from '../oci/error.ts'
import { ThreadTime } from './thread-time.ts'

export interface CredentialPoolOptions {
  /** Threads for passwords; for signatures there is one for every four of them. */
  readonly workers: number
  /** Passwords that may wait for a thread; of signatures, which take far less time, 16 times as many. */
  readonly queueMax: number
}

export interface CredentialPool {
  /** Errors: rejects with OciError UNAVAILABLE (503, Retry-After) where the queue is full or a thread died. */
  verifyPassword(passwordHash: string, password: string): Promise<boolean>
  /** Whether a token's signature is the key's. Errors: as `verifyPassword`, of a queue of its own. */
  verifySignature(task: VerifyTokenTask): Promise<boolean>
  /** Logins that wait for a thread. */
  readonly waiting: number
  readonly gauges: { readonly passwords: QueueGauges; readonly signatures: QueueGauges }
  /**
   * Resolves when the threads work: one has answered, or has done what was waiting. Those that nobody has
   * needed so far need not answer. Errors: Error that says why a thread cannot.
   */
  ping(): Promise<void>
  /** Waits for the hashes under way: ending a thread within native code would end the process. */
  close(): Promise<void>
}

/** Since the start, but for what runs or waits at the moment. */
export interface QueueGauges {
  readonly threads: number
  readonly waiting: number
  readonly waitingMax: number
  /** Turned away, since the queue was full or a thread died. */
  readonly refused: number
  readonly completed: number
  /** How long the threads had something to do, all of them together, and had not. */
  readonly activeMs: number
  readonly idleMs: number
}

// About 0.1 ms each, against 20 ms of a password.
const signaturesPerPassword = 16
const passwordThreadsPerSignatureThread = 4

/** Threads start when they are first needed, and stay. */
export function createCredentialPool({ workers, queueMax }: CredentialPoolOptions): CredentialPool {
  const passwords = new Queue<PasswordTask>('credentials', 'checkPassword', workers, queueMax)
  const signatures = new Queue<VerifyTokenTask>(
    'verify-token',
    'verifyToken',
    Math.ceil(workers / passwordThreadsPerSignatureThread),
    queueMax * signaturesPerPassword,
  )
  return {
    verifyPassword: (passwordHash, password) => passwords.run({ passwordHash, password }),
    verifySignature: (task) => signatures.run(task),
    get waiting() {
      return passwords.waiting + signatures.waiting
    },
    get gauges() {
      return { passwords: passwords.gauges, signatures: signatures.gauges }
    },
    ping: async () => {
      await Promise.all([passwords.ping(), signatures.ping()])
    },
    close: async () => {
      await Promise.all([passwords.close(), signatures.close()])
    },
  }
}

type Threads<Task> = Piscina<Task | undefined, boolean>

/** One kind of task, with its own threads and its own bound. */
class Queue<Task> {
  readonly #open: (onFailure: (error: unknown) => void) => Threads<Task>
  readonly #name: string
  readonly #queueMax: number
  #pool: Threads<Task> | undefined
  readonly #time = new ThreadTime()
  #refused = 0
  #completed = 0
  readonly #onCompleted = new Set<() => void>()
  /** Why the last threads could not be replaced; undefined since others have done something. */
  #failure: unknown
  #isClosed = false

  constructor(file: string, name: string, threads: number, queueMax: number) {
    this.#open = (onFailure) => openPool(workerFile(file), { threads, queueMax, onFailure })
    this.#name = name
    this.#queueMax = queueMax
  }

  get waiting(): number {
    return this.#pool?.queueSize ?? 0
  }

  get gauges(): QueueGauges {
    const threads = this.#pool?.threads ?? []
    return {
      ...this.#time.look(threads),
      threads: threads.length,
      waiting: this.waiting,
      waitingMax: this.#queueMax,
      refused: this.#refused,
      completed: this.#completed,
    }
  }

  async run(task: Task): Promise<boolean> {
    // Threads that start now would never be ended.
    if (this.#isClosed) throw unavailable()
    const pool = this.#opened()
    if (pool.queueSize >= this.#queueMax) {
      this.#refused += 1
      throw unavailable()
    }
    try {
      const result = await pool.run(task, { name: this.#name })
      this.#completed += 1
      this.#failure = undefined
      for (const tell of this.#onCompleted) tell()
      return result
    } catch (cause) {
      this.#refused += 1
      throw unavailable(this.#reasonOf(cause, pool))
    }
  }

  async ping(): Promise<void> {
    const isNeeded = this.#pool !== undefined || this.#failure !== undefined
    if (!isNeeded || this.#isClosed) return
    const pool = this.#opened()
    // Behind a crowd of logins an answer would come late, and take a place: that they get on is enough.
    const isCrowded = pool.queueSize > 0
    await new Promise<void>((resolve, reject) => {
      const tell = (): void => {
        this.#onCompleted.delete(tell)
        resolve()
      }
      this.#onCompleted.add(tell)
      if (isCrowded) return
      const answer = pool.run(undefined, { name: 'ping' }).then(() => {
        this.#failure = undefined
        tell()
      })
      answer.catch((error: unknown) => {
        this.#onCompleted.delete(tell)
        reject(this.#reasonOf(error, pool))
      })
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#pool?.close()
  }

  // What waited in a pool that was given up is told that it ended, and not why.
  #reasonOf(error: unknown, pool: Threads<Task>): unknown {
    return pool === this.#pool ? error : (this.#failure ?? error)
  }

  #opened(): Threads<Task> {
    this.#pool ??= this.#watched()
    return this.#pool
  }

  // Piscina replaces no thread any more once one has failed at its start, and what waits would wait for ever.
  // A pool without threads is given up, with what waits; the next task starts another.
  #watched(): Threads<Task> {
    const pool = this.#open((error) => {
      this.#failure = error
    })
    const look = (): void => {
      if (this.#isClosed || this.#pool !== pool || pool.threads.length > 0) return
      this.#pool = undefined
      this.#failure ??= new Error('no thread could be started')
      void pool.destroy()
    }
    // After the turn: the end of a thread is told before another one takes its place.
    pool.on('workerDestroy', () => queueMicrotask(look))
    return pool
  }
}

function workerFile(name: string): string {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return fileURLToPath(new URL(`../../workers/${name}${extension}`, import.meta.url))
}

interface PoolParts {
  readonly threads: number
  readonly queueMax: number
  /** A thread died that had nothing to do, such as at its start. */
  readonly onFailure: (error: unknown) => void
}

function openPool<Task>(filename: string, parts: PoolParts): Threads<Task> {
  const { threads, queueMax, onFailure } = parts
  const pool: Threads<Task> = new Piscina<Task | undefined, boolean>({
    filename,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
    maxQueue: queueMax,
    idleTimeout: Number.POSITIVE_INFINITY,
    closeTimeout: 30_000,
    atomics: 'disabled',
    // The loop and the disk come first: a flood of guesses must not slow a pull.
    niceIncrement: 10,
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 },
    env: {},
    argv: [],
    trackUnmanagedFds: false,
    recordTiming: false,
    workerHistogram: false,
  })
  // Without a listener the event would end the process.
  pool.on('error', onFailure)
  return pool
}

function unavailable(cause?: unknown): OciError {
  return new OciError('UNAVAILABLE', { headers: [['Retry-After', '2']], cause })
}
