// A small request body, whole in memory, for as long as somebody works with it.

import type { RequestBody } from '../http/body.ts'
import { OciError } from '../oci/error.ts'
import { type BodyPlace, type BodyRoom, smallBodyBytes } from './body-room.ts'

export interface BodyBounds {
  /** In bytes. */
  readonly bytesMax: number
  readonly room: BodyRoom
}

// Memory for a body doubles from here, so that neither chunks of one byte nor an announced length cost
// more than about what has come.
const firstBytes = 4096

/**
 * Takes the body and hands it to `use`; its memory is counted until that has ended.
 * Errors: OciError CONTENT_TOO_LARGE, before it is read where its announced length says so; UNAVAILABLE
 * (503) where there is no room; REQUEST_INVALID where the client leaves (nobody reads it); those of `use`.
 */
export async function withBody<T>(
  body: RequestBody,
  { bytesMax, room }: BodyBounds,
  use: (bytes: Uint8Array) => T | Promise<T>,
): Promise<T> {
  const announced = body.length ?? 0
  if (announced > bytesMax) throw tooLarge(bytesMax)
  const place = room.enter(announced)
  try {
    return await use(await collect(body, bytesMax, place))
  } finally {
    place.end()
  }
}

function collect(body: RequestBody, bytesMax: number, place: BodyPlace): Promise<Uint8Array> {
  const gathered = new Gathered(Math.min(body.length ?? bytesMax, bytesMax), place)
  return new Promise((resolve, reject) => {
    let settled = false
    const refuse = (error: unknown): void => {
      settled = true
      // Nobody waits for what else comes: it is dropped with the rest of the request.
      gathered.drop()
      reject(error)
    }
    body.consume({
      onChunk: (chunk, last) => {
        if (settled) return
        if (gathered.size + chunk.length > bytesMax) {
          refuse(tooLarge(bytesMax))
          return
        }
        try {
          gathered.add(chunk)
        } catch (error) {
          refuse(error)
          return
        }
        if (!last) return
        settled = true
        resolve(gathered.whole())
      },
      onAbort: () => {
        if (!settled) refuse(new OciError('REQUEST_INVALID', { message: 'the client left' }))
      },
    })
  })
}

/** What has come so far, in one piece of memory that grows. */
class Gathered {
  readonly #expected: number
  readonly #place: BodyPlace
  #memory: Uint8Array = new Uint8Array(0)
  #size = 0

  constructor(expected: number, place: BodyPlace) {
    this.#expected = expected
    this.#place = place
  }

  get size(): number {
    return this.#size
  }

  /** Copies: the transport takes its memory back. Errors: those of `BodyPlace.hold`. */
  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    const size = this.#size + chunk.length
    if (size > this.#memory.length) this.#grow(size)
    this.#memory.set(chunk, this.#size)
    this.#size = size
  }

  whole(): Uint8Array {
    // Whoever keeps some of it must not keep what was only taken in advance.
    return this.#size === this.#memory.length ? this.#memory : this.#memory.slice(0, this.#size)
  }

  drop(): void {
    this.#memory = new Uint8Array(0)
    this.#size = 0
  }

  #grow(needed: number): void {
    const ample = Math.max(firstBytes, 2 * this.#memory.length)
    // One that may yet turn out to be small is not made a large one in advance.
    const most = needed > smallBodyBytes ? ample : Math.min(ample, smallBodyBytes)
    const bytes = Math.max(needed, Math.min(most, this.#expected))
    this.#place.hold(bytes)
    const memory = new Uint8Array(bytes)
    memory.set(this.#memory.subarray(0, this.#size))
    this.#memory = memory
  }
}

function tooLarge(bytesMax: number): OciError {
  return new OciError('CONTENT_TOO_LARGE', {
    message: 'the content is larger than this registry accepts',
    detail: { bytesMax },
  })
}
