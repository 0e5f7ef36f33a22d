// A process of its own that holds many slow connections to a registry, and opens a new one for each that
// the registry closes. Arguments: port, number of sockets, a blob of the repository `kept`.
// It prints a JSON line now and then: how many are open, were opened, and were closed on it.

import { connect, type Socket } from 'node:net'

export interface AttackReport {
  readonly open: number
  readonly opened: number
  readonly closed: number
}

const dripEveryMs = 1_000
const reopenAfterMs = 50
const reportEveryMs = 200
// Connections are opened by turns, so that the listen queue is not what is measured.
const openedPerTurn = 25

type Attack = (socket: Socket, digest: string) => void

function drip(socket: Socket, bytes: string): void {
  const timer = setInterval(() => socket.write(bytes), dripEveryMs)
  socket.once('close', () => clearInterval(timer))
}

const attacks: readonly Attack[] = [
  /** Headers that never end. */
  (socket) => {
    socket.write('GET /v2/ HTTP/1.1\r\nHost: registry\r\n')
    drip(socket, 'X-Slow: y\r\n')
  },
  /** Bodies that hardly come: a manifest, and a blob. */
  (socket) => {
    socket.write('PUT /v2/slow/manifests/v1 HTTP/1.1\r\nHost: registry\r\n')
    socket.write('Content-Type: application/vnd.oci.image.manifest.v1+json\r\n')
    socket.write('Content-Length: 1000000\r\n\r\n{')
    drip(socket, ' ')
  },
  (socket, digest) => {
    socket.write(`POST /v2/slow/blobs/uploads/?digest=${digest} HTTP/1.1\r\nHost: registry\r\n`)
    socket.write('Content-Length: 100000000\r\n\r\nb')
    drip(socket, 'b')
  },
  /** A reply that is asked for and never read. */
  (socket, digest) => {
    socket.pause()
    socket.write(`GET /v2/kept/blobs/${digest} HTTP/1.1\r\nHost: registry\r\n\r\n`)
  },
]

function attackForever(port: number, sockets: number, digest: string): void {
  const counts = { open: 0, opened: 0, closed: 0 }
  const attack = (kind: number): void => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.once('connect', () => {
      counts.open += 1
      counts.opened += 1
      attacks[kind]?.(socket, digest)
      socket.once('close', () => {
        counts.open -= 1
        counts.closed += 1
      })
    })
    // A paused socket does not see that the other side has ended.
    socket.once('close', () => setTimeout(() => attack(kind), reopenAfterMs))
    socket.on('data', () => {})
    if (kind === attacks.length - 1) socket.pause()
  }
  const openSome = (from: number): void => {
    const to = Math.min(sockets, from + openedPerTurn)
    for (let at = from; at < to; at++) attack(at % attacks.length)
    if (to < sockets) setTimeout(() => openSome(to), 10)
  }
  openSome(0)
  setInterval(() => console.log(JSON.stringify(counts)), reportEveryMs)
}

const [port, sockets, digest = ''] = process.argv.slice(2)
if (port !== undefined) attackForever(Number(port), Number(sockets), digest)
