// One of several processes as it sees its supervisor.

import assert from 'node:assert'
import cluster from 'node:cluster'
import { parseConfig } from '../config/load.ts'
import { mergeLive } from '../config/merge-live.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Source } from '../config/source.ts'
import {
  type AdminCalls,
  type AdminListener,
  type AdminRoutes,
  answerCall,
  answerRoute,
} from '../server/admin.ts'
import type { TicketSeed } from '../server/tls/ticket-keys.ts'
import {
  type Answer,
  type FromChild,
  type Order,
  type Question,
  type ReloadResult,
  readMessage,
  type ServedPlace,
  type ToChild,
  type Welcome,
} from './messages.ts'
import { configOfProcess } from './process-config.ts'
import { Questions } from './questions.ts'

/** What a supervised process does when it is told to. What throws is logged where it happens. */
export interface ChildDuties {
  /** `load` answers the new configuration; its ConfigError is a refusal. */
  reload(load: () => Config): Promise<ReloadResult>
  reopen(): Promise<void>
  /** Another process has changed tokens or revocations. */
  refresh(): Promise<void>
  debug(isDebug: boolean): void
}

const askTimeoutMs = 10_000

/** Call it once, in a process that `cluster.isWorker` says is one of several. */
export async function connectToSupervisor(): Promise<ChildLink> {
  const { worker } = cluster
  assert(worker !== undefined)
  const welcomed = new Promise<ChildLink>((resolve) => {
    const take = (value: unknown): void => {
      const message = readMessage<ToChild>(value)
      if (message?.kind !== 'welcome') return
      process.off('message', take)
      // A process whose supervisor is gone ends its requests first; node:cluster would cut them.
      worker.on('disconnect', () => {
        worker.exitedAfterDisconnect = true
      })
      process.umask(message.umask)
      // At once: the next message, maybe to stop, is told before a promise is.
      resolve(new ChildLink(message))
    }
    process.on('message', take)
  })
  send({ kind: 'hello' })
  return welcomed
}

export class ChildLink {
  /** From 1 on. */
  readonly index: number
  readonly ticketSeed: TicketSeed | undefined
  /** Resolves, to why, when this process is to stop. */
  readonly stopped: Promise<string>
  readonly #welcome: Welcome
  readonly #questions = new Questions()
  #isDebug: boolean
  #duties: ChildDuties | undefined
  #socket: string | undefined
  #routes: AdminRoutes = {}
  #calls: AdminCalls = {}

  constructor(welcome: Welcome) {
    this.#welcome = welcome
    this.#isDebug = welcome.isDebug
    this.index = welcome.index
    this.ticketSeed = welcome.ticketSeed
    this.stopped = new Promise((resolve) => {
      process.once('disconnect', () => resolve('the supervising process has ended'))
      process.on('message', (value: unknown) => {
        const message = readMessage<ToChild>(value)
        if (message?.kind === 'stop') resolve('asked by the supervising process')
        else if (message !== undefined) void this.#take(message)
      })
    })
  }

  /** What is in force in the other processes, for this one. Errors: ConfigError. */
  config(): Config {
    const { first, sources } = this.#welcome
    const accepted = parseConfig(sources)
    const inForce = first === undefined ? accepted : mergeLive(parseFirst(first), accepted)
    return configOfProcess(inForce, this.#welcome)
  }

  /** From now on this process does what it is told. */
  follow(duties: ChildDuties): void {
    this.#duties = duties
    if (this.#isDebug) duties.debug(true)
  }

  /** In place of a socket of its own: the supervisor's, which asks here. */
  readonly serveAdmin = async (
    socket: string,
    routes: AdminRoutes,
    calls: AdminCalls,
  ): Promise<AdminListener> => {
    this.#socket = socket
    this.#routes = routes
    this.#calls = calls
    return { socket, close: async () => {} }
  }

  /** This process takes requests. */
  serving(places: readonly ServedPlace[]): void {
    const [routes, calls] = [Object.keys(this.#routes), Object.keys(this.#calls)]
    send({ kind: 'serving', places, admin: { socket: this.#socket, routes, calls } })
  }

  /** It never will, and the log says why. */
  failed(): void {
    send({ kind: 'failed' })
  }

  /** It takes no more of them. */
  stopping(): void {
    send({ kind: 'stopping' })
  }

  /** What a GET of the admin interface answers for all processes together; undefined: nothing, in time. */
  async ask(path: string): Promise<Answer | undefined> {
    const { id, replied } = this.#questions.ask(askTimeoutMs)
    send({ kind: 'ask', id, question: { path, query: '' } })
    return (await replied) as Answer | undefined
  }

  async #take(message: Exclude<ToChild, { readonly kind: 'stop' }>): Promise<void> {
    switch (message.kind) {
      case 'order':
        send({ kind: 'reply', id: message.id, value: await this.#obey(message.order) })
        return
      case 'reply':
        this.#questions.take(message)
        return
      case 'debug':
        this.#isDebug = message.isDebug
        this.#duties?.debug(message.isDebug)
        return
      case 'welcome':
        return
      default:
        message satisfies never
    }
  }

  async #obey(order: Order): Promise<unknown> {
    switch (order.kind) {
      case 'ask':
        return this.#answer(order.question)
      case 'reload':
        return this.#reload(order.sources)
      case 'reopen':
        await this.#duties?.reopen().catch(() => {})
        return true
      case 'refresh':
        await this.#duties?.refresh().catch(() => {})
        return true
      case 'ping':
        return true
      default:
        return order satisfies never
    }
  }

  async #answer({ path, query, input }: Question): Promise<Answer> {
    const call = Object.hasOwn(this.#calls, path) ? this.#calls[path] : undefined
    const route = Object.hasOwn(this.#routes, path) ? this.#routes[path] : undefined
    if (input !== undefined && call !== undefined) return answerCall(call, input.value)
    if (input === undefined && route !== undefined) {
      return answerRoute(route, new URLSearchParams(query))
    }
    return { status: 404, contentType: 'text/plain', text: '' }
  }

  async #reload(sources: readonly Source[] | undefined): Promise<ReloadResult> {
    if (this.#duties === undefined) return { ok: false, problems: ['it is still starting'] }
    return this.#duties.reload(() => {
      if (sources === undefined) throw new Error('the files of the configuration cannot be read')
      return configOfProcess(parseConfig(sources), this.#welcome)
    })
  }
}

/** Errors: ConfigError, as where a secret of it is gone since. */
function parseFirst(sources: readonly Source[]): Config {
  try {
    return parseConfig(sources)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const of = 'of the configuration that the server was started with, so restart all of it'
    throw new ConfigError(
      error.problems.map((problem) => ({ ...problem, message: `${problem.message} (${of})` })),
    )
  }
}

function send(message: FromChild): void {
  // Where the supervisor is gone, the end of the channel says so.
  if (process.connected) process.send?.(message, undefined, {}, () => {})
}
