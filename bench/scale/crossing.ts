// Where two lines cross: the cost of a request by the number of requests that share a handshake.

/** µs of the server's CPU. A request costs `request + handshake / k` on a connection of k requests. */
export interface ConnectionCost {
  readonly handshake: number
  readonly request: number
}

/** Least squares over the measured (k, µs per request); the weight keeps the small k from deciding alone. */
export function fitCost(
  points: readonly { readonly requests: number; readonly cost: number }[],
): ConnectionCost {
  // cost = request + handshake × (1/k), weighted by 1/cost² so that each point counts by its own size.
  let [sw, sx, sy, sxx, sxy] = [0, 0, 0, 0, 0]
  for (const { requests, cost } of points) {
    const weight = 1 / cost ** 2
    const x = 1 / requests
    sw += weight
    sx += weight * x
    sy += weight * cost
    sxx += weight * x * x
    sxy += weight * x * cost
  }
  const handshake = (sw * sxy - sx * sy) / (sw * sxx - sx * sx)
  return { handshake, request: (sy - handshake * sx) / sw }
}

/** With a share of connections resumed. */
export function mixed(
  full: ConnectionCost,
  resumed: ConnectionCost,
  share: number,
): ConnectionCost {
  return {
    handshake: full.handshake * (1 - share) + resumed.handshake * share,
    request: full.request,
  }
}

/**
 * Requests per connection up to which `first` costs less than `second`; 0 where it never does,
 * Infinity where it always does.
 */
export function crossing(first: ConnectionCost, second: ConnectionCost): number {
  const perConnection = second.handshake - first.handshake
  const perRequest = first.request - second.request
  if (perRequest <= 0) return perConnection >= 0 ? Number.POSITIVE_INFINITY : 0
  return Math.max(0, perConnection / perRequest)
}
