// Asks the running server over its admin socket.
import { request } from 'node:http'

export interface AdminAnswer {
  readonly status: number
  /** Parsed JSON; undefined where the answer is none. */
  readonly body: unknown
}

// A key or a revocation waits for the disk; a server that is stuck must not hold the command for ever.
const timeoutMs = 30_000
const answerBytesMax = 64 * 1024 * 1024

/** Nobody listens on the socket. */
export class NoServerError extends Error {
  override readonly name = 'NoServerError'

  constructor(socket: string) {
    super(`no server answers on ${socket}: start it first`)
  }
}

/**
 * GET without `input`, else POST of it as JSON.
 * Errors: NoServerError; Error whose message tells the operator what to do.
 */
export function askAdmin(socket: string, path: string, input?: object): Promise<AdminAnswer> {
  const body = input === undefined ? undefined : JSON.stringify(input)
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath: socket,
      path,
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'Content-Type': 'application/json' },
      timeout: timeoutMs,
      // A connection that is kept may be one to a server that is gone.
      agent: false,
    })
    call.on('error', (error) => reject(explained(error, socket)))
    call.on('timeout', () => call.destroy(new Error('the server did not answer')))
    call.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > answerBytesMax) call.destroy(new Error('the answer is too long'))
        else chunks.push(chunk)
      })
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status: response.statusCode ?? 0, body: parsed(text) })
      })
      response.on('error', (error) => reject(explained(error, socket)))
    })
    call.end(body)
  })
}

function explained(error: Error, socket: string): Error {
  const code = 'code' in error ? error.code : undefined
  switch (code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new NoServerError(socket)
    case 'EACCES':
    case 'EPERM':
      return new Error(`${socket} cannot be opened: run this as the user of the server`)
    default:
      return new Error(`${socket}: ${error.message}`)
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
