// One request on a kept-alive connection, for scenarios where the client's own speed does not matter.

import { Agent, type IncomingMessage, request } from 'node:http'

const agent = new Agent({ keepAlive: true, maxSockets: 32 })

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
}

export function ask(
  port: number,
  method: string,
  path: string,
  body?: Buffer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = { 'Content-Length': String(body?.length ?? 0) }
    const options = {
      agent,
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: { ...headers, ...length },
    }
    const outgoing = request(options, (response) => {
      response.resume()
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers })
      })
      response.once('error', reject)
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}
