// One download whose client takes a little at a time, until it leaves.

import type { Socket } from 'node:net'
import type { Origin } from '../contract.ts'
import { openSocket } from './slow-upload.ts'

export class SlowDownload {
  readonly #socket: Socket
  #received = 0
  #fault: Error | undefined
  #isCut = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the server closed a download')))
  }

  static async begin(origin: Origin, path: string): Promise<SlowDownload> {
    const socket = await openSocket(origin)
    const download = new SlowDownload(socket)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    return download
  }

  get received(): number {
    return this.#received
  }

  /** Why there is no more to take: the server has gone, or refused; undefined while there is. */
  get fault(): Error | undefined {
    return this.#fault
  }

  /** Take one more piece. */
  takeMore(): void {
    this.#socket.resume()
  }

  cut(): void {
    this.#isCut = true
    this.#socket.destroy()
  }

  // Flowing sockets deliver up to 64 KiB at a time, and then nothing until they are asked again.
  #take(bytes: Buffer): void {
    if (this.#received === 0 && !bytes.toString('latin1', 0, 12).startsWith('HTTP/1.1 200')) {
      this.#fail(new Error(bytes.toString('latin1', 0, 200)))
    }
    this.#received += bytes.length
    this.#socket.pause()
  }

  #fail(error: Error): void {
    if (!this.#isCut) this.#fault ??= error
  }
}
