// Answers for what a client really asked: a forwarding proxy in front of a registry that keeps
// each request's line, its Range and what was answered.
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Tapped {
  readonly method: string
  readonly path: string
  readonly range: string | undefined
  readonly status: number
  readonly contentType: string | undefined
}

export interface Tap {
  readonly host: string
  readonly seen: readonly Tapped[]
  close(): Promise<void>
}

/** Listen on a free loopback port and forward to the registry on `port`. */
export async function startTap(port: number): Promise<Tap> {
  const seen: Tapped[] = []
  const server = createServer((incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming
    // A connection of its own each time: one that the registry ends while it idles would look like
    // a failure of the request.
    const to = { host: '127.0.0.1', port, agent: false as const }
    const upstream = request({ ...to, method, path, headers }, (answer) => {
      const status = answer.statusCode ?? 0
      const contentType = answer.headers['content-type']
      seen.push({ method, path, range: headers.range, status, contentType })
      outgoing.writeHead(status, answer.headers)
      answer.pipe(outgoing)
    })
    upstream.on('error', () => outgoing.destroy())
    incoming.pipe(upstream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> =>
    new Promise((resolve, reject) => {
      server.close((error) => (error ? reject(error) : resolve()))
      server.closeAllConnections()
    })
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close }
}
