// Bytes in memory as a source of a streamed reply.

import type { ByteSource } from '../../../http/reply.ts'

export class MemorySource implements ByteSource {
  readonly length: number
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.length = bytes.length
    this.#bytes = bytes
  }

  readNow(position: number, target: Uint8Array): number {
    const part = this.#bytes.subarray(position, position + target.length)
    target.set(part)
    return part.length
  }

  read(position: number, target: Uint8Array): Promise<number> {
    return Promise.resolve(this.readNow(position, target))
  }

  close(): void {}
}
