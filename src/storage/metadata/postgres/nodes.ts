// The servers that share a database, on whatever host: each holds a lease by the clock of the database.
//
// Method: a node counts as gone once somebody has marked its row as ended, after the end of its lease; the
// mark is never taken back, whatever the clock of the database does, so that it may be remembered without a
// bound. Who finds its own row marked comes back under the next epoch: by then what it held may be another's.

import type { Pool } from 'pg'
import type { NodeInfo, NodeLiveness } from '../../liveness.ts'
import { canTellLife, isProcessAlive, processIdentity } from '../../process-identity.ts'
import { storageFault } from './fault.ts'

export interface NodesOptions {
  /** Of its own: a lease must not end because reads wait for a connection. */
  readonly pool: Pool
  /** Random, never used twice. */
  readonly id: string
  /** For people. */
  readonly host: string
  /** Milliseconds, from anywhere on; goes on while the host sleeps. */
  readonly now: () => number
  /** From 0 up to 1. */
  readonly random: () => number
  /** Answers how to cancel it. */
  readonly after: (ms: number, action: () => void) => () => void
  readonly onNotice: (notice: string) => void
  /** How the lease is told from what others do. Default: this process. */
  readonly identity?: () => string
}

/** Units: ms. */
export const leaseMs = 20_000
const renewMs = 5_000
const retryMs = 1_000
// Of clocks that do not run equally fast.
const marginMs = 1_000
const nodesMax = 1_000
const unknownMax = 1_000
const keptFor = "interval '1 day'"

interface Row {
  readonly id: string
  readonly epoch: number
  readonly host: string
  readonly ended: boolean
}

interface Snapshot {
  readonly begunAt: number
  readonly rows: ReadonlyMap<string, Row>
  /** There may be more. */
  readonly isCut: boolean
}

export class Nodes implements NodeLiveness {
  readonly #options: NodesOptions
  readonly #identity: string
  // First asked at, of those that no snapshot has had.
  readonly #unknown = new Map<string, number>()
  #epoch = 0
  #heldUntil = Number.NEGATIVE_INFINITY
  #snapshot: Snapshot = { begunAt: Number.NEGATIVE_INFINITY, rows: new Map(), isCut: true }
  #cancel = (): void => {}
  #turn: Promise<void> | undefined
  #isClosed = false
  #isSilent = false

  constructor(options: NodesOptions) {
    this.#options = options
    this.#identity = (options.identity ?? processIdentity)()
  }

  /** Takes the lease. Errors: StorageError 'unavailable', 'full'. */
  async join(): Promise<void> {
    try {
      await this.renew()
    } catch (cause) {
      throw storageFault(cause)
    }
    this.#plan(this.#jittered(renewMs))
  }

  owner(): string {
    const { host, id } = this.#options
    return `${this.#identity}/${id}:${this.#epoch}/${host}`
  }

  isAlive(owner: string): boolean {
    const node = nodeOf(owner)
    // Our own of before is known by its epoch, though the process is the same.
    if (node?.id === this.#options.id) return node.epoch === this.#epoch
    const seen = node === undefined ? undefined : this.#snapshot.rows.get(node.id)
    // It has come back under another name, and gives up what it held.
    if (node !== undefined && seen !== undefined && node.epoch < seen.epoch) return false
    // Only there a pid says something. A process that merely sleeps may still write its bytes.
    if (this.#isHere(owner)) return isProcessAlive(owner)
    if (node === undefined) return true
    const row = this.#snapshot.rows.get(node.id)
    if (row !== undefined) {
      this.#unknown.delete(node.id)
      return node.epoch > row.epoch || (node.epoch === row.epoch && !row.ended)
    }
    return this.#isPerhapsNew(node.id)
  }

  canTell(owner: string): boolean {
    const node = nodeOf(owner)
    if (node?.id === this.#options.id) return true
    return this.#isHere(owner) ? canTellLife(owner) : node !== undefined
  }

  problem(owner: string): string | undefined {
    const isHeld = owner === this.owner() && this.#options.now() < this.#heldUntil
    return isHeld
      ? undefined
      : 'the lease of this server has ended: another one may have taken over'
  }

  list(): readonly NodeInfo[] {
    const { id: own } = this.#options
    const rows = [...this.#snapshot.rows.values()]
    return rows.map(({ id, host, ended }) => ({ id, host, ended, isSelf: id === own }))
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cancel()
    await this.#turn
    const { id, pool } = this.#options
    const text = 'UPDATE keelson_nodes SET ended = true WHERE id = $1 AND epoch = $2'
    // Where the database is away, the lease ends by itself.
    await pool.query(text, [id, this.#epoch]).catch(() => undefined)
    this.#heldUntil = Number.NEGATIVE_INFINITY
    await pool.end().catch(() => undefined)
  }

  /** One turn, as it happens every few seconds. For tests. Errors: those of the driver. */
  async renew(): Promise<void> {
    const { id, now, onNotice, pool } = this.#options
    const sentAt = now()
    const renewed = await pool.query(
      `UPDATE keelson_nodes SET lease_ends = ${leaseEnd} WHERE id = $1 AND epoch = $2 AND NOT ended`,
      [id, this.#epoch],
    )
    if (renewed.rowCount === 1) this.#heldUntil = sentAt + leaseMs - marginMs
    else await this.#enter()
    await pool.query(
      'UPDATE keelson_nodes SET ended = true WHERE NOT ended AND lease_ends < clock_timestamp()',
    )
    await pool.query(
      `DELETE FROM keelson_nodes WHERE ended AND lease_ends < clock_timestamp() - ${keptFor}`,
    )
    const begunAt = now()
    const { rows } = await pool.query<Row>(
      `SELECT id, epoch::float8 AS epoch, host, ended FROM keelson_nodes ORDER BY ended, id LIMIT ${nodesMax}`,
    )
    const isCut = rows.length === nodesMax
    this.#snapshot = { begunAt, isCut, rows: new Map(rows.map((row) => [row.id, row])) }
    if (this.#isSilent) onNotice('PostgreSQL: the lease of this server is renewed again')
    this.#isSilent = false
  }

  async #enter(): Promise<void> {
    const { host, id, now, onNotice, pool } = this.#options
    const isBack = this.#epoch > 0
    // Before the row is there: what was held under the old one is refused from here on.
    this.#epoch += 1
    this.#heldUntil = Number.NEGATIVE_INFINITY
    if (isBack) onNotice('PostgreSQL: the lease of this server had ended: what it held is given up')
    const sentAt = now()
    await pool.query(
      `INSERT INTO keelson_nodes (id, epoch, host, lease_ends, ended)
       VALUES ($1, $2, $3, ${leaseEnd}, false)
       ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, lease_ends = excluded.lease_ends,
         ended = false WHERE keelson_nodes.epoch < excluded.epoch`,
      [id, this.#epoch, host],
    )
    this.#heldUntil = sentAt + leaseMs - marginMs
  }

  #plan(ms: number): void {
    if (this.#isClosed) return
    this.#cancel = this.#options.after(ms, () => {
      this.#turn = this.#attempt()
    })
  }

  async #attempt(): Promise<void> {
    try {
      await this.renew()
      this.#plan(this.#jittered(renewMs))
    } catch (cause) {
      const { message } = storageFault(cause)
      if (!this.#isSilent) this.#options.onNotice(`the lease is not renewed: ${message}`)
      this.#isSilent = true
      this.#plan(this.#jittered(retryMs))
    }
  }

  #jittered(ms: number): number {
    return ms * (0.75 + this.#options.random() / 4)
  }

  #isHere(owner: string): boolean {
    const [, , bootId = '', namespace = ''] = owner.split('/')
    const [, , ownBootId, ownNamespace] = this.#identity.split('/')
    return bootId !== '' && namespace !== '' && bootId === ownBootId && namespace === ownNamespace
  }

  /** A node enters itself before it holds anything: where a later snapshot lacks it too, its row was removed. */
  #isPerhapsNew(id: string): boolean {
    const { begunAt, isCut } = this.#snapshot
    const askedAt = this.#unknown.get(id)
    if (askedAt !== undefined) return isCut || begunAt <= askedAt
    const [oldest] = this.#unknown.keys()
    if (oldest !== undefined && this.#unknown.size >= unknownMax) this.#unknown.delete(oldest)
    this.#unknown.set(id, this.#options.now())
    return true
  }
}

const leaseEnd = `clock_timestamp() + ${leaseMs} * interval '1 millisecond'`

function nodeOf(owner: string): { readonly id: string; readonly epoch: number } | undefined {
  const [id = '', epoch = ''] = (owner.split('/')[4] ?? '').split(':')
  return id !== '' && /^[1-9][0-9]{0,14}$/.test(epoch) ? { id, epoch: Number(epoch) } : undefined
}
