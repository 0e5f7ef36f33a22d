// How reloads of the configuration went. Counted up in place; metrics read it.

export interface ReloadFigures {
  /** True before the first reload: the server has started with what it read. */
  isLastOk: boolean
  /** Milliseconds since the epoch. */
  lastOkAtMs: number
  /** Keys that differ from the files, and wait for a start. */
  needsRestart: number
  /** That were taken, and refused. */
  reloads: number
  failures: number
}
