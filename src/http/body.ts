// A request body as it arrives: chunks that must be taken at once, with a brake.

export interface BodySink {
  /**
   * The bytes are the transport's own and are valid during this call only: copy what is kept.
   * `last` is true exactly once, perhaps with an empty chunk. Chunks may still arrive after `pause`
   * (those already read from the socket, up to 512 KiB), so a sink must be able to take them.
   */
  onChunk(chunk: Uint8Array, last: boolean): void
  /** The client went away before the last chunk. Nothing is called after it. */
  onAbort(): void
}

/** The body of one request. `consume` is called at most once; what came before it was kept back. */
export interface RequestBody {
  /** In bytes, as announced; undefined for chunked transfer coding; 0 where there is none. */
  readonly length: number | undefined
  /**
   * Start taking the body; may call the sink before it returns. The body is not paused afterwards.
   * After an abort, or once a reply was sent, the sink hears of an abort at once.
   */
  consume(sink: BodySink): void
  /** Stop reading from the socket. Idempotent. */
  pause(): void
  /** Read on. Idempotent; without effect after the last chunk or an abort. */
  resume(): void
}
