// One simple request, read and answered on the socket itself: see src/server/transport/node/simple-front.ts.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import type { BodySink, RequestBody } from '../../../http/body.ts'
import type { ClientCertificate } from '../../../http/client-certificate.ts'
import type { ByteSource, Reply } from '../../../http/reply.ts'
import type { ExchangeOwner, OwnedExchange } from './exchange.ts'
import { lastReplyBytes, replyHead } from './reply-head.ts'
import type { SimpleHead } from './simple-head.ts'
import { SourceWriter } from './source-writer.ts'

// Larger bodies are not worth the copy that puts them behind their head.
const joinedBytesMax = 16 * 1024
// What a socket's buffer in the kernel has room for.
const largeBytes = 64 * 1024
const nothing = new Uint8Array(0)

/** The body of a request that has none. */
class NoBody implements RequestBody {
  readonly length = 0
  readonly #onFault: (error: unknown) => void
  #isConsumed = false
  #isGone = false

  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault
  }

  consume(sink: BodySink): void {
    if (this.#isConsumed) throw new Error('the body of a request is consumed once')
    this.#isConsumed = true
    if (this.#isGone) {
      sink.onAbort()
      return
    }
    try {
      sink.onChunk(nothing, true)
    } catch (error) {
      this.#onFault(error)
    }
  }

  pause(): void {
    // Nothing comes.
  }

  resume(): void {
    // Nothing comes.
  }

  release(): void {
    this.#isGone = true
  }
}

export class SimpleExchange implements OwnedExchange {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: NoBody
  readonly fault = undefined
  readonly isIncomplete = false
  isStarted = false
  readonly #head: SimpleHead
  readonly #socket: Socket
  readonly #owner: ExchangeOwner
  readonly #onDone: (exchange: SimpleExchange) => void
  #abortListeners: Array<() => void> | undefined
  #writer: SourceWriter | undefined
  #isSent = false
  #isAborted = false
  #isRefused = false
  #isFailed = false
  #isLarge = false
  #hasWritten = false

  /** `onDone` is called when a reply that leaves the connection open has been handed to the kernel. */
  constructor(
    head: SimpleHead,
    socket: Socket,
    owner: ExchangeOwner,
    onDone: (exchange: SimpleExchange) => void,
  ) {
    const { method, target } = head
    const mark = target.indexOf('?')
    this.method = method
    this.path = mark === -1 ? target : target.slice(0, mark)
    this.query = mark === -1 ? '' : target.slice(mark + 1)
    this.body = new NoBody((error) => this.fail(error))
    this.#head = head
    this.#socket = socket
    this.#owner = owner
    this.#onDone = onDone
  }

  get remoteAddress(): string {
    return this.#owner.remoteAddress
  }

  get isSecure(): boolean {
    return this.#owner.isSecure
  }

  get certificate(): ClientCertificate | undefined {
    return this.#owner.certificate
  }

  get aborted(): boolean {
    return this.#isAborted
  }

  get isSettled(): boolean {
    return this.#isSent && this.#writer === undefined && !this.#isLarge
  }

  get turn(): 'ours' | 'reply' {
    if (this.#writer !== undefined) return this.#writer.awaitsClient ? 'reply' : 'ours'
    return this.#isSent ? 'reply' : 'ours'
  }

  header(name: string): string {
    return this.#head.headers.get(name) ?? ''
  }

  headerLines(name: string): readonly string[] {
    const value = this.#head.headers.get(name)
    return value === undefined ? [] : [value]
  }

  detach(): void {
    // The head was copied when it was read.
  }

  onAbort(listener: () => void): void {
    if (this.#isAborted) listener()
    else {
      this.#abortListeners ??= []
      this.#abortListeners.push(listener)
    }
  }

  refuse(reply: Reply): void {
    this.#isRefused = true
    this.send(reply)
  }

  send(reply: Reply): void {
    assert(!this.#isSent, 'a request is answered once')
    this.#isSent = true
    this.body.release()
    if (this.#isAborted) {
      if (reply.kind === 'stream') reply.source.close()
      return
    }
    try {
      this.#write(reply)
    } catch (error) {
      if (reply.kind === 'stream' && this.#writer === undefined) reply.source.close()
      this.fail(error)
    }
  }

  fail(error: unknown): void {
    const reply = this.#owner.onFault(error)
    if (this.#isAborted) return
    if (this.#isFailed || this.#hasWritten || reply.kind === 'stream') {
      this.#owner.cut()
      return
    }
    this.#isFailed = true
    this.#isSent = false
    this.send(reply)
  }

  abandon(): void {
    this.#isAborted = true
    const listeners = this.#abortListeners ?? []
    for (const act of [() => this.body.release(), () => this.#writer?.abandon(), ...listeners]) {
      try {
        act()
      } catch (error) {
        this.#owner.onFault(error)
      }
    }
  }

  #write(reply: Reply): void {
    const isLast =
      this.#isRefused ||
      this.#owner.isDraining() ||
      (reply.kind === 'whole' && reply.closeConnection === true)
    const isHead = this.method === 'HEAD'
    const common = this.#owner.replyHeaders
    if (reply.kind === 'stream' && !isHead) {
      this.#stream(reply, reply.source, isLast)
      return
    }
    if (isLast) {
      const bytes = lastReplyBytes(reply, common, isHead)
      if (reply.kind === 'stream') reply.source.close()
      this.#hasWritten = true
      this.#owner.onLastReply(this, bytes)
      return
    }
    const head = replyHead(reply, common, false)
    if (reply.kind === 'stream') reply.source.close()
    this.#hasWritten = true
    this.#send(head, reply.kind === 'whole' && !isHead ? reply.body : undefined)
    this.#owner.onReplied(false)
  }

  #send(head: string, body: Uint8Array | undefined): void {
    const socket = this.#socket
    const onWritten = (error?: Error | null): void => {
      // An error here is the client's going, which the connection reports.
      if (!error && !this.#isAborted) this.#onDone(this)
    }
    const bodyBytes = body?.byteLength ?? 0
    if (body === undefined || bodyBytes <= joinedBytesMax) {
      // One write is one record, and half the cost of two.
      const bytes = Buffer.allocUnsafe(head.length + bodyBytes)
      bytes.write(head, 'latin1')
      if (body !== undefined) bytes.set(body, head.length)
      socket.write(bytes, onWritten)
      return
    }
    this.#isLarge = bodyBytes > largeBytes
    socket.cork()
    socket.write(head, 'latin1')
    socket.write(body, onWritten)
    socket.uncork()
  }

  #stream(reply: Reply, source: ByteSource, isLast: boolean): void {
    const socket = this.#socket
    const writeHead = (): void => {
      this.#hasWritten = true
      // The head and the first bytes go out together.
      socket.cork()
      socket.write(replyHead(reply, this.#owner.replyHeaders, isLast), 'latin1')
      process.nextTick(() => socket.uncork())
    }
    const onEnd = (error?: unknown): void => {
      this.#writer = undefined
      if (error !== undefined) {
        this.fail(error)
        return
      }
      this.#owner.onReplied(isLast)
      this.#onDone(this)
      if (isLast) socket.destroySoon()
    }
    this.#writer = new SourceWriter(source, { sink: socket, writeHead, onEnd })
    this.#writer.start()
  }
}
