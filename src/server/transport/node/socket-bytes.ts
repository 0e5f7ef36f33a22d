// How much of a connection's bytes the peer has moved. The one place that looks into node's sockets.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

// Not in node's documents: node-progress.test.ts and every test of TLS fail where they change.
interface SocketInsides {
  readonly _handle?: { readonly bytesWritten: number; readonly writeQueueSize: number } | null
}
interface TlsSocketInsides {
  readonly _parent?: Socket
}

/** Received on a connection, TLS records included. Units: bytes. */
export function bytesReceived(raw: Socket): number {
  return raw.bytesRead
}

/**
 * What the kernel has accepted of the bytes written, TLS records included. Node's own figures count
 * whole writes only, so a slow reader of a large one would seem to take nothing. Units: bytes.
 */
export function bytesAccepted(raw: Socket): number {
  const { _handle: handle } = raw as SocketInsides
  return handle == null ? raw.bytesWritten : handle.bytesWritten - handle.writeQueueSize
}

/** The TCP connection below a TLS one that a server made. */
export function rawSocketOf(socket: TLSSocket): Socket {
  return (socket as TlsSocketInsides)._parent ?? socket
}
