// Threads for password hashes and signatures, apart from those that write uploads: neither starves the
// other, and a hash never takes the process-wide threads that read files.

import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import type { PasswordTask } from '../../workers/password-task.ts'
import type { VerifyTokenTask } from '../../workers/verify-token-task.ts'
import { OciError } from '../oci/error.ts'

const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const entryFile = fileURLToPath(new URL(`../../workers/credentials${extension}`, import.meta.url))

export interface CredentialPoolOptions {
  readonly workers: number
  /** Logins that may wait for a thread. */
  readonly queueMax: number
}

export interface CredentialPool {
  /** Errors: rejects with OciError UNAVAILABLE (503, Retry-After) where the queue is full or a thread died. */
  verifyPassword(passwordHash: string, password: string): Promise<boolean>
  /** Whether a token's signature is the key's. Errors: as `verifyPassword`. */
  verifySignature(task: VerifyTokenTask): Promise<boolean>
  /** Logins that wait for a thread. */
  readonly waiting: number
  /** Waits for the hashes under way: ending a thread within native code would end the process. */
  close(): Promise<void>
}

/** Threads start when they are first needed, and stay. */
export function createCredentialPool(options: CredentialPoolOptions): CredentialPool {
  const { workers, queueMax } = options
  let pool: Threads | undefined
  const run = async (name: string, task: Task): Promise<boolean> => {
    pool ??= openPool(workers, queueMax)
    if (pool.queueSize >= queueMax) throw unavailable()
    try {
      return await pool.run(task, { name })
    } catch (cause) {
      throw unavailable(cause)
    }
  }
  return {
    verifyPassword: (passwordHash, password) => run('checkPassword', { passwordHash, password }),
    verifySignature: (task) => run('verifyToken', task),
    get waiting() {
      return pool?.queueSize ?? 0
    },
    close: async () => pool?.close(),
  }
}

type Task = PasswordTask | VerifyTokenTask
type Threads = Piscina<Task, boolean>

function openPool(workers: number, queueMax: number): Threads {
  const pool: Threads = new Piscina({
    filename: entryFile,
    minThreads: workers,
    maxThreads: workers,
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
  // A thread that dies shows in its task; without a listener the event would end the process.
  pool.on('error', () => undefined)
  return pool
}

function unavailable(cause?: unknown): OciError {
  return new OciError('UNAVAILABLE', { headers: [['Retry-After', '2']], cause })
}
