// The first reader of a connection: answers simple requests by itself, at half the cost, and hands the
// connection to node:http for good with the first bytes that are anything else.

import type { Socket } from 'node:net'
import type { Connection } from './connection.ts'
import { SimpleExchange } from './simple-exchange.ts'
import { readSimpleHead } from './simple-head.ts'

// Of what comes while a reply is still on its way.
const heldBytesMax = 64 * 1024

export class SimpleFront {
  readonly #socket: Socket
  readonly #connection: Connection
  readonly #enterHttp: (socket: Socket) => void
  #current: SimpleExchange | undefined
  #held: Buffer | undefined
  #hasEnded = false

  /** `enterHttp` gives the connection to node:http. */
  constructor(socket: Socket, connection: Connection, enterHttp: (socket: Socket) => void) {
    this.#socket = socket
    this.#connection = connection
    this.#enterHttp = enterHttp
  }

  start(): void {
    const socket = this.#socket
    // The close that follows says all that matters.
    socket.on('error', ignore)
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
  }

  readonly #onData = (bytes: Buffer): void => {
    // What a refused client still sends is read, so that the refusal is not lost in a reset.
    if (this.#connection.isEnding) return
    if (this.#current === undefined) {
      this.#take(bytes)
      return
    }
    this.#held = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes])
    if (this.#held.length > heldBytesMax) this.#socket.pause()
  }

  // As node:http: what is written already still goes out, and who waits for more is given up.
  readonly #onEnd = (): void => {
    this.#hasEnded = true
    this.#socket.end()
  }

  readonly #onDone = (exchange: SimpleExchange): void => {
    this.#current = undefined
    this.#connection.onFinished(exchange)
    const held = this.#held
    this.#held = undefined
    if (this.#connection.isEnding || this.#socket.destroyed) return
    if (this.#hasEnded) return
    if (held !== undefined) this.#take(held)
    if (this.#current === undefined && this.#socket.isPaused()) this.#socket.resume()
  }

  #take(bytes: Buffer): void {
    const head = readSimpleHead(bytes)
    if (head === undefined) {
      this.#leave(bytes)
      return
    }
    const exchange = new SimpleExchange(head, this.#socket, this.#connection, this.#onDone)
    this.#current = exchange
    this.#connection.onSimpleRequest(exchange)
  }

  #leave(bytes: Buffer): void {
    const socket = this.#socket
    socket.pause()
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.unshift(bytes)
    this.#enterHttp(socket)
    socket.resume()
  }
}

function ignore(): void {}
