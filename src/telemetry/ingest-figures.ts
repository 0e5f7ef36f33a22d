// What is counted of bodies on their way to the disk.

/** Since the start, but for what is in use or open at the moment. */
export interface IngestFigures {
  /** Bytes of slabs handed out. */
  readonly slabBytesInUse: number
  readonly slabBytesMax: number
  /** Bodies paused for want of slabs or credits. */
  readonly stalls: number
  readonly receiving: number
  readonly bytesReceived: number
  readonly inThreads: {
    readonly threads: number
    /** Bodies and rereads that are open in a thread. */
    readonly sessions: number
    /** Files whose sync goes on behind the answer to their body. */
    readonly syncing: number
    /** Bytes of slabs on their way through a thread: hashed and written, or waiting for it. */
    readonly bytesInThreads: number
    /** How long the threads had something to do, all of them together, and had not. */
    readonly activeMs: number
    readonly idleMs: number
    readonly hashedBytes: number
    readonly hashMs: number
    /** Threads that died and were started again. */
    readonly replaced: number
  }
}
