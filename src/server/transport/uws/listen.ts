// The default transport: HTTP and server-side TLS on uWebSockets.js.

import type { HttpResponse } from 'uWebSockets.js'
import assert from 'node:assert'
import { lstatSync, rmSync } from 'node:fs'
import type { TlsMaterial } from '../../tls/contract.ts'
import type {
  Listener,
  ListenerAddress,
  ListenSocket,
  Transport,
  TransportOptions,
} from '../exchange.ts'
import { addressFromText } from './address.ts'
import { Crowd } from './crowd.ts'
import { Door } from './door.ts'
import { BusyHost, UwsHost } from './host.ts'
import { caution, problem } from './native.ts'
import { freePlace, isShared, placeTaken } from './place.ts'
import { SwapBudget } from './swap-budget.ts'

/** Why the native module cannot be used in this process; undefined where it can. */
export const uwsProblem: string | undefined = problem

/** Why it is used only where it is asked for; undefined where `auto` may take it. */
export const uwsCaution: string | undefined = caution

const roomCheckMs = 100
// So many connections without a place are told so; what comes on top is closed at once.
const turnedAwayMin = 256

/** Source: DESIGN "Transports". Errors: as `Transport`, and an assertion where `uwsProblem` is set. */
export const listenUws: Transport = async (options: TransportOptions): Promise<Listener> => {
  assert(uwsProblem === undefined, uwsProblem)
  refuseImpossible(options)
  if (options.sharesAddress === true) return new UwsListener(options, options.socket)
  const place = await freePlace(options.socket)
  const listener = new UwsListener(options, place)
  if (!isShared(place)) return listener
  listener.close()
  throw placeTaken(place)
}

function refuseImpossible({ tls, proxyProtocol, socket, sharesAddress }: TransportOptions): void {
  if (socket.kind === 'unix' && sharesAddress === true) {
    // The last one to listen would have the name, and with it all connections.
    throw new Error('uWebSockets.js cannot share a unix socket; set server.transport = "node"')
  }
  if (tls !== undefined) refuseImpossibleTls(tls)
  if (proxyProtocol === undefined) return
  // It takes one in front of every request, so a client behind a proxy could write its own; and it
  // answers 505 to one that comes in a segment of its own, as most proxies send it.
  throw new Error(
    'uWebSockets.js cannot tell whose PROXY header it reads; set server.transport = "node"',
  )
}

function refuseImpossibleTls({ clientAuth, minVersion }: TlsMaterial): void {
  const reason =
    clientAuth !== undefined
      ? 'can neither require nor read client certificates'
      : minVersion === 'TLSv1.3'
        ? 'cannot refuse TLS 1.2'
        : undefined
  if (reason === undefined) return
  throw new Error(`uWebSockets.js ${reason}; set server.transport = "node"`)
}

class UwsListener implements Listener {
  readonly local: ListenerAddress
  readonly #options: TransportOptions
  readonly #place: ListenSocket
  readonly #crowd: Crowd
  readonly #host: UwsHost
  readonly #busyHost: BusyHost
  readonly #swaps = new SwapBudget(() => performance.now())
  #tls: TlsMaterial | undefined
  #front: Door
  /** Takes the connections that there is no place for; made when it is first needed. */
  #busy: Door | undefined
  /** Of earlier certificates, while they have connections. */
  readonly #retired = new Set<Door>()
  #fullTimer: NodeJS.Timeout | undefined
  /** Of our unix socket. */
  #inode: number | undefined

  /** Errors: as `Door`; 'EADDRINUSE'. */
  constructor(options: TransportOptions, place: ListenSocket) {
    this.#options = options
    this.#place = place
    this.#tls = options.tls
    this.local =
      place.kind === 'unix'
        ? { address: place.path, port: 0 }
        : { address: place.address, port: place.port }
    this.#crowd = new Crowd(options, place)
    this.#host = new UwsHost(options, this.#crowd)
    this.#busyHost = new BusyHost(options, this.#crowd)
    this.#front = this.#createFront(options.tls)
    if (!this.#open(this.#front)) throw placeTaken(place)
  }

  /**
   * A new app takes over the address; the connections of the old one go on. Those that the kernel has
   * not handed over yet are moved where net.ipv4.tcp_migrate_req is 1, else reset.
   */
  async renewTls(material: TlsMaterial): Promise<void> {
    if (this.#tls === undefined) throw new Error('this listener has no TLS')
    refuseImpossibleTls(material)
    if (this.#isStopping) return
    const front = this.#createFront(material)
    const isFull = this.#busy?.isOpen === true
    const busy = isFull ? this.#createBusy(material) : undefined
    if (!this.#open(busy ?? front)) throw placeTaken(this.#place)
    this.#tls = material
    this.#retire(this.#front)
    if (this.#busy !== undefined) this.#retire(this.#busy)
    this.#front = front
    this.#busy = busy
  }

  inFlight(): number {
    return this.#host.inFlight + this.#busyHost.inFlight
  }

  stopAccepting(): void {
    if (this.#isStopping) return
    this.#host.stopping = true
    this.#busyHost.stopping = true
    clearInterval(this.#fullTimer)
    this.#front.shut()
    this.#busy?.shut()
    this.#crowd.end()
    this.#removeSocket()
  }

  close(): void {
    this.stopAccepting()
    for (const door of [this.#front, this.#busy, ...this.#retired]) door?.close()
    this.#retired.clear()
  }

  get #isStopping(): boolean {
    return this.#host.stopping
  }

  #open(door: Door): boolean {
    if (!door.listen(this.#place)) return false
    if (this.#place.kind === 'unix') this.#inode = inodeOf(this.#place.path)
    return true
  }

  #createFront(tls: TlsMaterial | undefined): Door {
    return new Door(tls, this.#host, {
      onOpen: (_door, res) => this.#onOpen(res),
      onClose: (door) => this.#onClose(door),
    })
  }

  #onOpen(res: HttpResponse): void {
    const stays = this.#crowd.enter(addressFromText(res.getRemoteAddressAsText()))
    if (!stays) res.close()
    if (this.#crowd.isFull) this.#turnToBusy()
  }

  #onClose(door: Door): void {
    this.#crowd.leave()
    this.#release(door)
    this.#turnToFront()
  }

  #createBusy(tls: TlsMaterial | undefined): Door {
    const { connectionsMax } = this.#options.admission.limits
    return new Door(tls, this.#busyHost, {
      onOpen: (door, res) => {
        this.#options.counts.connectionsRefused += 1
        if (door.connections > Math.max(connectionsMax, turnedAwayMin)) res.close()
      },
      onClose: (door) => this.#release(door),
    })
  }

  #turnToBusy(): void {
    if (this.#isStopping || this.#busy?.isOpen === true) return
    this.#busy ??= this.#createBusy(this.#tls)
    if (!this.#open(this.#busy)) return
    this.#front.shut()
    // Other listeners may make room, too.
    this.#fullTimer = setInterval(() => this.#turnToFront(), roomCheckMs).unref()
  }

  #turnToFront(): void {
    if (this.#busy?.isOpen !== true || this.#crowd.isFull || !this.#swaps.take()) return
    if (!this.#open(this.#front)) return
    this.#busy.shut()
    clearInterval(this.#fullTimer)
  }

  #retire(door: Door): void {
    door.shut()
    if (door.connections > 0) this.#retired.add(door)
  }

  #release(door: Door): void {
    if (door.connections === 0) this.#retired.delete(door)
  }

  // Unless another server has taken the name in the meantime.
  #removeSocket(): void {
    if (this.#place.kind !== 'unix') return
    const { path } = this.#place
    if (inodeOf(path) === this.#inode) rmSync(path, { force: true })
  }
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino
}
