// The connection as the LDAP library sees it: a socket whose answers have been looked at.

import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { Answers, type Outcome } from './answers.ts'

/** Ends for good, and without a word, at the first thing that is wrong; `fault` then says what it was. */
export class Wire extends Duplex {
  readonly #socket: Socket
  readonly #answers = new Answers()
  #fault: Error | undefined
  /** Two things that the library asks of a socket. */
  readonly connecting = false
  readonly readyState = 'open'

  /** `socket` is connected, and verified where it is TLS. */
  constructor(socket: Socket) {
    super({ emitClose: true })
    this.#socket = socket
    // A fault must end what waits for an answer, which an error without a listener would not.
    socket.on('error', (error) => this.fail(error))
    socket.on('end', () => this.fail(new Error('the directory ended the connection')))
    socket.on('close', () => this.fail(new Error('the connection is closed')))
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  get fault(): Error | undefined {
    return this.#fault
  }

  /** Of what was asked last; undefined until its answer has ended. */
  get outcome(): Outcome | undefined {
    return this.#answers.outcome
  }

  /** Ends the connection; the first reason stays. */
  fail(error: Error): void {
    this.#fault ??= error
    this.destroy()
  }

  override _read(): void {
    // Answers are bounded and pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    try {
      this.#answers.ask(chunk)
      // What cannot be written is an error of the socket, too, and that one is heard.
      this.#socket.write(chunk, () => done())
    } catch (error) {
      this.fail(asError(error))
      done()
    }
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done()
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return
    try {
      for (const message of this.#answers.take(chunk)) this.push(message)
    } catch (error) {
      this.fail(asError(error))
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
