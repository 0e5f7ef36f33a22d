// Replies on uWebSockets.js to clients that are still writing, on connections that end with the reply.

import type { UwsBody } from './body.ts'

// As on node: what is sent for longer is somebody else's loss.
const lingerMsMax = 5_000

/** As uWS takes it: it looks at the length alone. */
export function asksToClose(connection: string): boolean {
  return connection.length === 'close'.length
}

/**
 * The value of `Connection` that has the rest of the reply behind it, which is JSON: the library ends it as a
 * header, and JSON may end with white space.
 */
export function lastHeader(text: string): string {
  const length = Buffer.byteLength(text) + '\r\n'.length
  return `close\r\nContent-Length: ${length}\r\n\r\n${text}`
}

/**
 * The reply has left: read and drop what the client still sends, then `close`.
 * Limits: 5 s. Answers how to end it without that, where the connection is gone.
 */
export function linger(body: UwsBody, close: () => void): () => void {
  const timer = setTimeout(close, lingerMsMax)
  const end = (): void => clearTimeout(timer)
  body.discard(() => {
    end()
    close()
  })
  return end
}
