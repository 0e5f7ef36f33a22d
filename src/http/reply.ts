// What an operation answers. Data only: the transport alone knows how it is written.

import type { HeaderBlock } from './header-block.ts'

/** Bytes to send, read by position so that a transport may ask again for what the socket refused. */
export interface ByteSource {
  /** In bytes. */
  readonly length: number
  /**
   * Fill `target` from `position` on where the bytes are at hand (memory, page cache): how many, short
   * only at the end. Undefined where they have to be waited for: then `read` is asked.
   * Errors: StorageError 'unavailable', 'corrupt'.
   */
  readNow(position: number, target: Uint8Array): number | undefined
  /** The same with a wait. `target` must not be touched until it resolves. */
  read(position: number, target: Uint8Array): Promise<number>
  /** Idempotent; called by the transport however the reply ends. */
  close(): void
}

export type Reply =
  /** `body` is sent whole, with its length; undefined sends `Content-Length: 0`. */
  | {
      readonly kind: 'whole'
      readonly status: number
      readonly headers: HeaderBlock
      readonly body: Uint8Array | undefined
      readonly closeConnection?: boolean
    }
  /** The head of a reply to HEAD: no body, but the length that GET would have. */
  | {
      readonly kind: 'head'
      readonly status: number
      readonly headers: HeaderBlock
      readonly length: number
    }
  /** No body and no length: 204 and 304. */
  | { readonly kind: 'empty'; readonly status: 204 | 304; readonly headers: HeaderBlock }
  | {
      readonly kind: 'stream'
      readonly status: number
      readonly headers: HeaderBlock
      readonly source: ByteSource
    }
