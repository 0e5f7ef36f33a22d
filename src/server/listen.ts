// Which transport listens, and what is said where the fast one cannot.

import type { Logger } from '../telemetry/log.ts'
import type { Listener, Transport, TransportOptions } from './transport/exchange.ts'
import { listenNode } from './transport/node/listen.ts'
import { listenUws, uwsProblem } from './transport/uws/listen.ts'

type TransportChoice = 'auto' | 'uws' | 'node'

/** Errors: Error where `uws` is asked for and its binary does not load here. Source: DESIGN "Transports". */
export function chooseTransport(
  choice: TransportChoice,
  log: Logger,
): { readonly name: 'uws' | 'node'; readonly transport: Transport } {
  if (choice === 'node') return { name: 'node', transport: listenNode }
  if (uwsProblem === undefined) return { name: 'uws', transport: listenUws }
  if (choice === 'uws') throw new Error(`server.transport = "uws": ${uwsProblem}`)
  log.warn({ reason: uwsProblem }, 'falling back to the node transport, which is slower')
  return { name: 'node', transport: listenNode }
}

export function listen(
  choice: TransportChoice,
  log: Logger,
  options: TransportOptions,
): Promise<Listener> {
  return chooseTransport(choice, log).transport(options)
}
