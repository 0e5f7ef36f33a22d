// Takes the PROXY header off a connection, before TLS or HTTP see a byte of it.

import type { Socket } from 'node:net'
import { parseProxyHeader } from './proxy-header.ts'

/**
 * Calls `onHeader` once when the header is there, with what follows it given back to the socket; or
 * `onRefused` where the bytes are no header or the connection ends before it.
 */
export function readProxyHeader(
  raw: Socket,
  onHeader: (client: string | undefined) => void,
  onRefused: () => void,
): void {
  let received = Buffer.alloc(0)
  const release = (): void => {
    raw.off('readable', onReadable)
    raw.off('end', refuse)
    raw.off('close', refuse)
  }
  const refuse = (): void => {
    release()
    onRefused()
  }
  const onReadable = (): void => {
    const chunk: Buffer | null = raw.read()
    // At the end of the stream, which has an event of its own.
    if (chunk === null) return
    received = Buffer.concat([received, chunk])
    const header = parseProxyHeader(received)
    if (header === 'more') return
    if (header === 'refused') {
      refuse()
      return
    }
    release()
    if (received.length > header.bytes) raw.unshift(received.subarray(header.bytes))
    onHeader(header.client)
  }
  raw.on('readable', onReadable)
  raw.once('end', refuse)
  raw.once('close', refuse)
}
