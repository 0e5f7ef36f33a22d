// The default transport: plain HTTP on uWebSockets.js.

import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js'
import assert from 'node:assert'
import type { Listener, Transport, TransportOptions } from '../exchange.ts'
import { type ExchangeHost, UwsExchange } from './exchange.ts'
import { native, problem } from './native.ts'
import { StreamBuffers } from './stream.ts'

/** Why the native module cannot be used in this process; undefined where it can. */
export const uwsProblem: string | undefined = problem

/** Source: DESIGN "Transports". Errors: as `Transport`, and an assertion where `uwsProblem` is set. */
export const listenUws: Transport = (options: TransportOptions): Promise<Listener> => {
  assert(native !== undefined, uwsProblem)
  const { App, us_listen_socket_close, us_socket_local_port } = native
  const host = new Host(options)
  const app = App()
  routes(app, host)

  return new Promise((resolve, reject) => {
    const onListen = (socket: us_listen_socket | false): void => {
      if (socket === false) {
        reject(addressInUse(options))
        return
      }
      resolve({
        local: { address: options.address, port: us_socket_local_port(socket as never) },
        inFlight: () => host.inFlight,
        stopAccepting: () => {
          if (host.stopping) return
          host.stopping = true
          us_listen_socket_close(socket)
        },
        close: () => {
          host.stopping = true
          app.close()
        },
      })
    }
    // Without the exclusive flag a second server would share the port by SO_REUSEPORT, unnoticed.
    const exclusivePort = 1
    const listen = app.listen as unknown as (
      host: string,
      port: number,
      options: number,
      callback: typeof onListen,
    ) => TemplatedApp
    listen.call(app, options.address, options.port, exclusivePort, onListen)
  })
}

class Host implements ExchangeHost {
  readonly options: TransportOptions
  readonly buffers = new StreamBuffers()
  inFlight = 0
  stopping = false

  constructor(options: TransportOptions) {
    this.options = options
  }
}

// GET and HEAD have routes of their own, so that the hot path need not ask for the method.
function routes(app: TemplatedApp, host: Host): void {
  app.get('/*', (res, req) => new UwsExchange(host, 'GET', res, req).start())
  app.head('/*', (res, req) => new UwsExchange(host, 'HEAD', res, req).start())
  app.any('/*', (res, req) => new UwsExchange(host, req.getCaseSensitiveMethod(), res, req).start())
}

function addressInUse(options: TransportOptions): Error {
  const where = `${options.address}:${options.port}`
  // The native listen says only that it failed; a taken port is by far the commonest reason.
  return Object.assign(new Error(`cannot listen on ${where}: address in use or not available`), {
    code: 'EADDRINUSE',
  })
}
