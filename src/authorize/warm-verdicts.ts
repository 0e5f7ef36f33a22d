// The verdicts of reads that come again and again, found by the objects that a request has anyway, since
// to write a question down and hash it costs as much as the rest of such a request.

import type { Action } from '../route/action.ts'
import { ByIdentity } from './by-identity.ts'
import type { Asked, Question } from './guard.ts'
import type { Remembered } from './verdict-cache.ts'

interface Warm {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly isSecure: boolean
  readonly host: string
  remembered: Remembered
}

type ByAddress = Map<string, Warm>
type OfIdentity = Map<Action, ByAddress>

const sizeMax = 16_384
// Units: characters of path, query and host. The longest name with the longest digest fits.
const textMax = 512

/**
 * For questions of which nothing else is sent. Limits: 16,384 short ones; then it begins anew. What it
 * returns may have ended. An action that is not read is made for one request, so it would never be found
 * again.
 */
export class WarmVerdicts {
  readonly #known = new ByIdentity<OfIdentity>(sizeMax, () => new Map())

  find({ identity, action, asked }: Question, clientIp: string): Remembered | undefined {
    const warm = this.#known.of(identity)?.get(action)?.get(clientIp)
    return warm !== undefined && isSame(warm, asked) ? warm.remembered : undefined
  }

  add({ identity, action, asked }: Question, clientIp: string, remembered: Remembered): void {
    const { method, path, query, isSecure } = asked
    if (method !== 'GET' && method !== 'HEAD') return
    const host = asked.header('host')
    if (path.length + query.length + host.length > textMax) return
    const before = this.#known.of(identity)?.get(action)
    const warm = { method, path, query, isSecure, host, remembered }
    if (before?.has(clientIp) === true) {
      before.set(clientIp, warm)
      return
    }
    const actions = this.#known.grow(identity)
    const addresses = actions.get(action) ?? new Map<string, Warm>()
    actions.set(action, addresses)
    addresses.set(clientIp, warm)
  }
}

function isSame(warm: Warm, asked: Asked): boolean {
  return (
    warm.method === asked.method &&
    warm.path === asked.path &&
    warm.query === asked.query &&
    warm.isSecure === asked.isSecure &&
    warm.host === asked.header('host')
  )
}
