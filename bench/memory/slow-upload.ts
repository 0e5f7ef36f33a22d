// One upload that sends a part of what it has announced, goes on by drips, and is then cut off.

import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Origin } from '../contract.ts'
import { clientOptions } from '../load/get.ts'
import { locationOf, RawConnection } from '../load/raw-connection.ts'
import { pause } from './watch.ts'

const dripEveryMs = 500

export function openSocket({ port, credentials }: Origin): Promise<Socket> {
  const where = { host: '127.0.0.1', port }
  const socket =
    credentials === undefined
      ? connect(where)
      : connectTls({ ...where, ...clientOptions(credentials) })
  return new Promise((resolve, reject) => {
    socket.once(credentials === undefined ? 'connect' : 'secureConnect', () => resolve(socket))
    socket.once('error', reject)
  })
}

export class SlowUpload {
  readonly location: string
  readonly #socket: Socket
  readonly #block: Buffer
  #fault: Error | undefined
  #isCut = false

  private constructor(location: string, socket: Socket, block: Buffer) {
    this.location = location
    this.#socket = socket
    this.#block = block
    // Whatever comes now is an answer to a body that has not ended.
    socket.on('data', (bytes) => this.#fail(new Error(bytes.toString('latin1', 0, 200))))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the server closed an upload')))
  }

  /** A session with a request that announces `declared` bytes. `block` is what it sends over and over. */
  static async begin(
    origin: Origin,
    repository: string,
    declared: number,
    block: Buffer,
  ): Promise<SlowUpload> {
    const connection = await RawConnection.open(origin)
    const started = await connection.exchange('POST', `/v2/${repository}/blobs/uploads/`, [
      'Content-Length: 0',
    ])
    connection.close()
    if (started.status !== 202) throw new Error(`POST: ${started.status} ${started.body}`)
    const location = locationOf(started)
    const socket = await openSocket(origin)
    const head = [`PATCH ${location} HTTP/1.1`, 'Host: localhost', `Content-Length: ${declared}`]
    socket.write(`${[...head, 'Content-Type: application/octet-stream', '', ''].join('\r\n')}`)
    return new SlowUpload(location, socket, block)
  }

  /** Errors: Error where the server has answered or gone. */
  async send(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; left -= this.#block.length) {
      if (this.#fault !== undefined) throw this.#fault
      const part = left < this.#block.length ? this.#block.subarray(0, left) : this.#block
      if (!this.#socket.write(part)) await this.#drained()
    }
  }

  /** Send so little that it stays alive, until `over` resolves; answers how much that was. */
  async drip(bytes: number, over: Promise<void>): Promise<number> {
    let isOver = false
    const ending = over.then(() => {
      isOver = true
    })
    let sent = 0
    while (!isOver) {
      await this.send(bytes)
      sent += bytes
      await Promise.race([ending, pause(dripEveryMs)])
    }
    return sent
  }

  cut(): void {
    this.#isCut = true
    this.#socket.destroy()
  }

  #fail(error: Error): void {
    if (!this.#isCut) this.#fault ??= error
    this.#socket.emit('drain')
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => this.#socket.once('drain', resolve))
  }
}
