// What the listeners count: plain numbers, since an increment must cost nothing. Metrics read them.

/** Counters since the start of the process, but for `connections`, which is a gauge. */
export interface EdgeCounts {
  connections: number
  connectionsAccepted: number
  connectionsRefused: number
  /** Answered 429 or 503 because of a limit on requests or connections. */
  requestsRefused: number
  /** Closed because they moved too little, by the phase they were in. */
  closedSlow: { headers: number; body: number; reply: number; idle: number }
  handshakesFull: number
  handshakesResumed: number
  handshakesFailed: number
  /** A client certificate that was refused after the handshake: revoked, expired, of another CA. */
  certificatesRefused: number
  /** Connections dropped because their PROXY header was missing, malformed or from an untrusted peer. */
  proxyHeadersRefused: number
}

export function newEdgeCounts(): EdgeCounts {
  return {
    connections: 0,
    connectionsAccepted: 0,
    connectionsRefused: 0,
    requestsRefused: 0,
    closedSlow: { headers: 0, body: 0, reply: 0, idle: 0 },
    handshakesFull: 0,
    handshakesResumed: 0,
    handshakesFailed: 0,
    certificatesRefused: 0,
    proxyHeadersRefused: 0,
  }
}
