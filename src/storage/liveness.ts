// Who may hold something in the records, and whether that owner still lives: on one host, or on several.

import { canTellLife, isProcessAlive, processIdentity } from './process-identity.ts'

export interface Liveness {
  /** This process in records. It changes where its lease was lost: nothing held under the old name counts. */
  owner(): string
  /** False only where it is certain, and then for ever. */
  isAlive(owner: string): boolean
  /** False where `isAlive` answers true for want of knowledge that may never come. */
  canTell(owner: string): boolean
  /** For people: why nothing must be destroyed any more in the name of `owner`, which was ours; undefined: it may. */
  problem(owner: string): string | undefined
  /** The servers that share the store, those that live first; absent where all of them run here. */
  list?(): readonly NodeInfo[]
}

// Asked once: where /proc cannot be read at a bad moment a process must not get another name, and each request
// asks for it.
let own: string | undefined

/** Where all processes of a store run on one host: its own table of processes tells. */
export const oneHost: Liveness = {
  owner: () => {
    own ??= processIdentity()
    return own
  },
  isAlive: isProcessAlive,
  canTell: canTellLife,
  problem: () => undefined,
}

/** A server among those of a store, as the table of nodes has it. */
export interface NodeInfo {
  readonly id: string
  readonly host: string
  readonly isSelf: boolean
  /** Its lease has ended; it stays listed for a day. */
  readonly ended: boolean
}

/** A place in the table of nodes. */
export interface NodeLiveness extends Liveness {
  /** As last read, those that live first. */
  list(): readonly NodeInfo[]
  /** Gives the lease up, so that others need not wait for its end. Idempotent. Never rejects. */
  close(): Promise<void>
}

export interface NodeTable {
  /**
   * Enter this process, and keep its lease until `close`.
   * Errors: StorageError 'unavailable', 'full'.
   */
  joinNodes(onNotice: (notice: string) => void): Promise<NodeLiveness>
}
