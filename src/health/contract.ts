// What is known of the server's own health, as data.

/** One part of the server, and whether it works. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  /** For the operator alone: it may name paths. Also says something where all is well. */
  readonly reason: string
  /** How long the part took to answer; of one that has not, how long it was waited for. */
  readonly tookMs: number
}

export interface Readiness {
  /** Every check is ok. */
  readonly ready: boolean
  readonly checks: readonly Check[]
}

/** That it is told at all shows that the event loop goes round. */
export interface Liveness {
  readonly status: 'ok'
  /** How much later than asked for a timer ran just now. */
  readonly loopDelayMs: number
  /** Share of the time since it was asked last in which the event loop had something to do: 0 to 1. */
  readonly loopUtilization: number
}

/** One file system that pushes write to. */
export interface DiskFigures {
  /** Which stores lie on it: `blobs`, `metadata`, or both. */
  readonly stores: readonly string[]
  readonly freeBytes: number
  readonly sizeBytes: number
  /** Undefined where the file system does not count them. */
  readonly inodes: number | undefined
  readonly freeInodes: number | undefined
  readonly isLow: boolean
}

export interface ReserveFigures {
  /** Those that have answered; nothing is known of others. */
  readonly disks: readonly DiskFigures[]
  readonly reserveBytes: number
  /** Pushes are refused at the moment. */
  readonly isLow: boolean
  /** Requests that were refused for want of room, since the start. */
  readonly refused: number
  /** Times that the reserve was reached. */
  readonly reached: number
}
