// The flags that belong to the gate.

export interface GateOptions {
  readonly floorsFile: string
  /** Write what was measured into the floors file. */
  readonly accept: boolean
  /** Why ratios may be lowered; undefined: they may not. */
  readonly reason: string | undefined
  /** A reference that is not installed fails the gate. */
  readonly requireAll: boolean
}
