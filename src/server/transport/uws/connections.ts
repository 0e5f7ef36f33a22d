// How many connections each address has. uWebSockets.js tells when a connection ends, but not which: so
// the counts are upper bounds, made exact from the kernel's table of sockets when a limit depends on it.

import type { Admission } from '../admission.ts'
import { countPeersLater, countPeersNow, type PeerCounts } from './peer-table.ts'

interface Surroundings {
  /** In ms, never going back. */
  readonly now: () => number
  readonly countPeersNow: (ports: ReadonlySet<number>) => PeerCounts | undefined
  readonly countPeersLater: (ports: ReadonlySet<number>) => Promise<PeerCounts | undefined>
}

// Reading the table takes at most this share of our time.
const recountShare = 1 / 20
// A table that takes longer is read by another thread, and what it says is known a little later.
const waitedForMsMax = 4

const ledgers = new WeakMap<Admission, ConnectionLedger>()

/**
 * The listeners of a process share one ledger, as they share their admission. `isShared`: other processes
 * listen on the same ports.
 */
export function ledgerOf(admission: Admission, isShared = false): ConnectionLedger {
  const known = ledgers.get(admission)
  if (known !== undefined) return known
  const ledger = new ConnectionLedger(admission, {
    now: () => performance.now(),
    countPeersNow: (ports) => countPeersNow(ports, isShared),
    countPeersLater: (ports) => countPeersLater(ports, isShared),
  })
  ledgers.set(admission, ledger)
  return ledger
}

/** One connection is one `open` and one `close`, whatever became of it. */
export class ConnectionLedger {
  readonly #admission: Admission
  readonly #around: Surroundings
  readonly #ports = new Map<number, number>()
  /** By address, ended ones included that nobody has attributed yet. */
  readonly #counted = new Map<string, number>()
  #live = 0
  #unattributed = 0
  #recountAt = 0
  #recountMs = 0
  /** Opened while the table is being read; undefined while it is not. */
  #opened: Map<string, number> | undefined

  constructor(admission: Admission, around: Surroundings) {
    this.#admission = admission
    this.#around = around
  }

  addPort(port: number): void {
    this.#ports.set(port, (this.#ports.get(port) ?? 0) + 1)
  }

  removePort(port: number): void {
    const left = (this.#ports.get(port) ?? 0) - 1
    if (left > 0) this.#ports.set(port, left)
    else this.#ports.delete(port)
  }

  open(address: string): void {
    this.#live += 1
    increment(this.#counted, address)
    if (this.#opened !== undefined) increment(this.#opened, address)
    this.#admission.openConnection(address)
  }

  close(): void {
    this.#live -= 1
    this.#unattributed += 1
    this.#admission.closeSomeConnection()
    if (this.#live > 0 && this.#counted.size > 1) return
    // Only one address can be meant, or all are.
    for (const [address, count] of this.#counted) {
      this.#settle(address, this.#live === 0 ? count : this.#unattributed)
    }
  }

  /** Whether an address has more connections than `max`; exact, as far as the kernel may be asked. */
  hasMoreThan(max: number, address: string): boolean {
    if (this.#admission.connectionsOf(address) <= max) return false
    this.#attributeSure(address)
    if (this.#admission.connectionsOf(address) <= max) return false
    if (this.#unattributed > 0) this.#recount()
    return this.#admission.connectionsOf(address) > max
  }

  // All others together have not ended more often than they are counted: the rest is this one's.
  #attributeSure(address: string): void {
    const others = this.#live + this.#unattributed - (this.#counted.get(address) ?? 0)
    if (this.#unattributed > others) this.#settle(address, this.#unattributed - others)
  }

  #recount(): void {
    const start = this.#around.now()
    if (start < this.#recountAt || this.#opened !== undefined) return
    const ports = new Set(this.#ports.keys())
    this.#opened = new Map()
    const finish = (peers: PeerCounts | undefined): void => {
      this.#compare(peers, this.#opened ?? new Map())
      this.#opened = undefined
      const end = this.#around.now()
      this.#recountMs = end - start
      this.#recountAt = end + this.#recountMs / recountShare
    }
    if (this.#recountMs <= waitedForMsMax) finish(this.#around.countPeersNow(ports))
    else this.#around.countPeersLater(ports).then(finish, () => finish(undefined))
  }

  /** `opened`: connections that the table may not have yet. What has ended since then shows next time. */
  #compare(peers: PeerCounts | undefined, opened: ReadonlyMap<string, number>): void {
    if (peers === undefined) return
    for (const [address, count] of this.#counted) {
      const ended = count - (peers.get(address) ?? 0) - (opened.get(address) ?? 0)
      if (ended > 0) this.#settle(address, ended)
    }
  }

  #settle(address: string, ended: number): void {
    const count = this.#counted.get(address) ?? 0
    const sure = Math.min(ended, count, this.#unattributed)
    this.#unattributed -= sure
    if (count > sure) this.#counted.set(address, count - sure)
    else this.#counted.delete(address)
    this.#admission.settleConnections(address, sure)
  }
}

function increment(counts: Map<string, number>, address: string): void {
  counts.set(address, (counts.get(address) ?? 0) + 1)
}
