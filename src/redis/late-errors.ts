// The client (ioredis 5.11) listens for one error of a connection. Where Redis shows a certificate that is not trusted and the
// connection is given up in the same handshake, Node.js tells two: the second one would end the process.

import type { EventEmitter } from 'node:events'
import { AbstractConnector } from 'ioredis'

let isDone = false

/** From now on what a connection says after it was given up is heard by nobody. Of all connections; idempotent. */
export function ignoreLateErrors(): void {
  if (isDone) return
  isDone = true
  const { disconnect } = AbstractConnector.prototype
  AbstractConnector.prototype.disconnect = function (this: AbstractConnector): void {
    const { stream } = this as unknown as { readonly stream?: EventEmitter }
    stream?.on('error', () => undefined)
    disconnect.call(this)
  }
}
