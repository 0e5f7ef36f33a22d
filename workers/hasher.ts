// The two ways to hash a body: node:crypto at full speed, or hash-wasm, whose state another process can
// go on with.

import { createHash, type Hash } from 'node:crypto'
import { createSHA256, createSHA512, type IHasher } from 'hash-wasm'
import type { DigestAlgorithm } from '../src/oci/digest.ts'

export interface Hasher {
  /** Bytes that may be hashed in one go without keeping other sessions waiting for long. */
  readonly pieceBytes: number
  update(bytes: Uint8Array): void
  /** Lower-case hex. Ends the hasher. */
  hex(): string
  /** For another request of the session to go on with; call before `hex`. */
  state?(): string
  /** Another hasher that has taken the same bytes; call before `hex`. */
  copy?(): Hasher
}

class StreamHasher implements Hasher {
  readonly pieceBytes: number = 1 << 20
  readonly #hash: Hash

  constructor(hash: Hash) {
    this.#hash = hash
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  hex(): string {
    return this.#hash.digest('hex')
  }

  copy(): Hasher {
    return new StreamHasher(this.#hash.copy())
  }
}

// Names the state's writer. hash-wasm adds a hash of its own binary to what `save` gives.
const stateTag = 'hash-wasm/1'

/**
 * In place of a state, where the bytes so far are in a hasher of node:crypto and had to be read again once:
 * the session moves among processes, or comes back late. Nobody can resume it.
 */
export const rereadState = 'reread/1'

// One instance per algorithm and thread: a session owns a state of about 100 bytes instead of a
// WebAssembly memory, and the instance is loaded with it for every piece.
const engines = new Map<DigestAlgorithm, Promise<IHasher>>()

function engineFor(algorithm: DigestAlgorithm): Promise<IHasher> {
  const known = engines.get(algorithm)
  if (known) return known
  const made = algorithm === 'sha256' ? createSHA256() : createSHA512()
  engines.set(algorithm, made)
  return made
}

class ExportableHasher implements Hasher {
  // hash-wasm does about 135 MB/s, so this is 1 ms.
  readonly pieceBytes: number = 128 << 10
  readonly #engine: IHasher
  readonly #algorithm: DigestAlgorithm
  #saved: Uint8Array
  #length: number

  constructor(engine: IHasher, algorithm: DigestAlgorithm, saved: Uint8Array, length: number) {
    this.#engine = engine
    this.#algorithm = algorithm
    this.#saved = saved
    this.#length = length
  }

  update(bytes: Uint8Array): void {
    this.#saved = this.#engine.load(this.#saved).update(bytes).save()
    this.#length += bytes.length
  }

  hex(): string {
    return this.#engine.load(this.#saved).digest('hex')
  }

  state(): string {
    const base64 = Buffer.from(this.#saved).toString('base64')
    return `${stateTag}:${this.#algorithm}:${this.#length}:${base64}`
  }
}

export function createStreamHasher(algorithm: DigestAlgorithm): Hasher {
  return new StreamHasher(createHash(algorithm))
}

export async function createExportableHasher(algorithm: DigestAlgorithm): Promise<Hasher> {
  const engine = await engineFor(algorithm)
  return new ExportableHasher(engine, algorithm, engine.init().save(), 0)
}

/** Undefined where `state` is of another build, another algorithm or another length. */
export async function resumeHasher(
  algorithm: DigestAlgorithm,
  state: string,
  length: number,
): Promise<Hasher | undefined> {
  const prefix = `${stateTag}:${algorithm}:${length}:`
  if (!state.startsWith(prefix)) return undefined
  const saved = new Uint8Array(Buffer.from(state.slice(prefix.length), 'base64'))
  const engine = await engineFor(algorithm)
  try {
    engine.load(saved)
  } catch {
    return undefined
  }
  return new ExportableHasher(engine, algorithm, saved, length)
}
