// Several processes that serve as one: this one starts them, answers for them and ends them, and is on
// the path of no request.

import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { Source } from '../config/source.ts'
import { type AdminListener, listenAdmin } from '../server/admin.ts'
import { TicketSecrets, type TicketSeed, ticketEpoch } from '../server/tls/ticket-keys.ts'
import type { Logger } from '../telemetry/log.ts'
import { AdminOfAll } from './admin.ts'
import { systemClock } from './contract.ts'
import { Crew, type Served } from './crew.ts'
import { createFork } from './fork.ts'
import type { ReloadResult } from './messages.ts'
import { settlePorts } from './ports.ts'
import { Reloads } from './reload.ts'
import { Spare } from './spare.ts'

export interface SupervisorOptions {
  readonly config: Config
  /** What the configuration was made of. */
  readonly sources: readonly Source[]
  /** How many processes. */
  readonly count: number
  readonly log: Logger
  /** Resolves when all of it is to end, maybe before it serves. */
  readonly stopped: Promise<unknown>
}

// What this process makes is the admin socket and, for its children, unix sockets: nobody else's.
const ownUmask = 0o177

/** One per process. */
export class Supervisor {
  readonly served: Served
  /** Resolves when nothing can be served any more; the log says why. */
  readonly lost: Promise<void>
  readonly #crew: Crew
  readonly #spare: Spare
  readonly #reloads: Reloads
  readonly #admin: AdminListener | undefined
  readonly #debug: { isOn: boolean }

  /**
   * Resolves when all processes serve, or `stopped` has resolved; to undefined where nothing serves and
   * nothing is left, since that came first. Errors: Error for the operator: a taken place, or that the processes cannot start, and say why.
   */
  static async start(options: SupervisorOptions): Promise<Supervisor | undefined> {
    const { config, count, log } = options
    const ports = await settlePorts(config.listeners)
    const debug = { isOn: false }
    const ticketSeed = ticketSeeds(config.tls)
    const umask = process.umask(ownUmask)
    const spare = new Spare(createFork())
    const crew = new Crew({
      ...{ count, log, clock: systemClock, fork: spare.fork },
      onComplete: () => spare.prepare(),
      welcome: (index) => ({
        ...{ kind: 'welcome', index, count, ports, umask },
        sources: reloads.accepted,
        first: reloads.first,
        isDebug: debug.isOn,
        ticketSeed: ticketSeed(),
      }),
      answer: (question) => adminOfAll.answer(question),
      onServing: (slot) => reloads.catchUp(slot),
      onEnd: (slot) => void adminOfAll.ended(slot),
    })
    const { slots } = crew
    const reloads = new Reloads({ slots, first: options.sources, log })
    const uptimeMs = (): number => performance.now()
    const adminOfAll = new AdminOfAll({ slots, uptimeMs })
    const stopped = options.stopped.then(() => undefined)
    const end = async (): Promise<void> => {
      spare.close()
      await crew.stop(config.server.shutdownTimeoutMs)
    }
    try {
      const served = await Promise.race([firstServed(crew), stopped])
      if (served === undefined) {
        await end()
        return undefined
      }
      const admin = await openAdmin(served, adminOfAll)
      await Promise.race([crew.allServed(), crew.lost, stopped])
      return new Supervisor({ served, crew, spare, reloads, admin, debug })
    } catch (error) {
      await end()
      throw error
    }
  }

  private constructor(parts: {
    readonly served: Served
    readonly crew: Crew
    readonly spare: Spare
    readonly reloads: Reloads
    readonly admin: AdminListener | undefined
    readonly debug: { isOn: boolean }
  }) {
    this.served = parts.served
    this.lost = parts.crew.lost
    this.#crew = parts.crew
    this.#spare = parts.spare
    this.#reloads = parts.reloads
    this.#admin = parts.admin
    this.#debug = parts.debug
  }

  /** Put what the files say in force everywhere; undefined where they cannot be read. Never rejects. */
  reload(sources: readonly Source[] | undefined): Promise<ReloadResult> {
    return this.#reloads.reload(sources)
  }

  /** Have all processes open anew what may have been replaced: the audit log, TLS files. */
  async reopen(): Promise<void> {
    await Promise.all(this.#crew.slots.map((slot) => slot.order({ kind: 'reopen' }, reopenMs)))
  }

  /** In all processes, and in those that are still to come. */
  debug(isDebug: boolean): void {
    this.#debug.isOn = isDebug
    for (const slot of this.#crew.slots) slot.tell({ kind: 'debug', isDebug })
  }

  /** How many processes serve and answer. */
  get serving(): number {
    return this.#crew.serving().length
  }

  /** Let all end what is in flight. True where none had to be killed. Units: ms. */
  async stop(timeoutMs: number): Promise<boolean> {
    this.#spare.close()
    const isClean = await this.#crew.stop(timeoutMs)
    await this.#admin?.close()
    return isClean
  }

  /** End all processes now, whatever they do. */
  abandon(): void {
    this.#spare.close()
    this.#crew.abandon()
  }
}

const hourMs = 3_600_000

/** Sessions that one process of the node transport has begun, the others and their successors resume. */
function ticketSeeds(tls: Config['tls']): () => TicketSeed | undefined {
  if (tls === undefined) return () => undefined
  const epoch = ticketEpoch(tls.sessionTimeoutMs / 1000, Date.now())
  const secrets = new TicketSecrets(new TicketSecrets().seedFor(epoch))
  const seed = (): TicketSeed =>
    secrets.seedFor(ticketEpoch(tls.sessionTimeoutMs / 1000, Date.now()))
  // What it was before is to be forgotten here, too.
  setInterval(seed, hourMs).unref()
  return seed
}

const reopenMs = 10_000

async function firstServed(crew: Crew): Promise<Served> {
  const first = await Promise.race([crew.start(), crew.lost])
  if (first === undefined) throw new Error('the first process cannot serve: see above')
  return first
}

async function openAdmin(
  { admin }: Served,
  adminOfAll: AdminOfAll,
): Promise<AdminListener | undefined> {
  const { routes, calls } = adminOfAll.serve(admin)
  if (admin.socket === undefined) return undefined
  await mkdir(dirname(admin.socket), { recursive: true, mode: 0o700 })
  return listenAdmin(admin.socket, routes, calls)
}
