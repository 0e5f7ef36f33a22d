// One app of the native library with the socket it listens on. A listener has another for each
// certificate, and one for the connections that it has no place for.

import type { HttpResponse, TemplatedApp, us_listen_socket } from 'uWebSockets.js'
import assert from 'node:assert'
import { chmodSync } from 'node:fs'
import type { TlsMaterial } from '../../tls/contract.ts'
import type { ListenSocket } from '../exchange.ts'
import { type ExchangeHost, UwsExchange } from './exchange.ts'
import { withKeyFiles } from './key-files.ts'
import { native } from './native.ts'

export interface DoorEvents {
  /** `res` lives as long as the connection, and nothing tells when it ends: use it at once. */
  readonly onOpen: (door: Door, res: HttpResponse) => void
  readonly onClose: (door: Door) => void
}

type ListenTcp = (
  host: string,
  port: number,
  options: number,
  callback: (socket: us_listen_socket | false) => void,
) => void

export class Door {
  /** Open ones. */
  connections = 0
  readonly #app: TemplatedApp
  #socket: us_listen_socket | undefined

  /** Errors: Error where the native library does not take the certificate, the key or the ciphers. */
  constructor(tls: TlsMaterial | undefined, host: ExchangeHost, events: DoorEvents) {
    this.#app = createApp(tls)
    const onConnection = (res: HttpResponse, count: number): void => {
      if (count === 1) {
        this.connections += 1
        events.onOpen(this, res)
      } else {
        this.connections -= 1
        events.onClose(this)
      }
    }
    this.#app.filter(onConnection as Parameters<TemplatedApp['filter']>[0])
    routes(this.#app, host)
  }

  /** Whether it listens now. Several may share a TCP port; of a unix socket the last one has the name. */
  listen(place: ListenSocket): boolean {
    assert(this.#socket === undefined, 'a door opens once at a time')
    // The callback is called before these return.
    const take = (socket: us_listen_socket | false): void => {
      if (socket !== false) this.#socket = socket
    }
    if (place.kind === 'unix') {
      // Made with mode 0700, so that it is never open to others, not even for a moment.
      this.#app.listen_unix(take, place.path)
      if (this.isOpen) chmodSync(place.path, place.mode)
    } else {
      const sharedPort = 0
      const listenTcp = this.#app.listen as unknown as ListenTcp
      listenTcp.call(this.#app, place.address, place.port, sharedPort, take)
    }
    return this.isOpen
  }

  get isOpen(): boolean {
    return this.#socket !== undefined
  }

  /** Listen no more; connections go on. */
  shut(): void {
    if (this.#socket === undefined) return
    native?.us_listen_socket_close(this.#socket)
    this.#socket = undefined
  }

  /** Cut all connections. */
  close(): void {
    this.#socket = undefined
    this.#app.close()
  }
}

function createApp(tls: TlsMaterial | undefined): TemplatedApp {
  assert(native !== undefined)
  const { App, SSLApp } = native
  if (tls === undefined) return App()
  try {
    return withKeyFiles(tls.certificateBundle, tls.privateKey, ({ certificate, key }) =>
      SSLApp({ cert_file_name: certificate, key_file_name: key, ssl_ciphers: tls.ciphers }),
    )
  } catch (cause) {
    throw new Error(
      'uWebSockets.js does not take the certificate, its key or the ciphers ' +
        '(BoringSSL: RSA and ECDSA); set server.transport = "node"',
      { cause },
    )
  }
}

// GET and HEAD have routes of their own, so that the hot path need not ask for the method.
function routes(app: TemplatedApp, host: ExchangeHost): void {
  app.get('/*', (res, req) => new UwsExchange(host, 'GET', res, req).start())
  app.head('/*', (res, req) => new UwsExchange(host, 'HEAD', res, req).start())
  app.any('/*', (res, req) => new UwsExchange(host, req.getCaseSensitiveMethod(), res, req).start())
}
