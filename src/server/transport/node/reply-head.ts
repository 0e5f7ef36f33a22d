// The head of a reply, for node to write and, where node will not answer any more, as raw bytes.

import { STATUS_CODES } from 'node:http'
import type { HeaderPair } from '../../../http/header-block.ts'
import type { Reply } from '../../../http/reply.ts'

/** Names and values by turns, as `writeHead` takes them. `common` are those of every reply. */
export function headerList(reply: Reply, common: readonly HeaderPair[], isLast: boolean): string[] {
  const list: string[] = []
  for (const [name, value] of reply.headers.pairs) {
    if (!isLast || name.toLowerCase() !== 'connection') list.push(name, value)
  }
  for (const [name, value] of common) list.push(name, value)
  if (reply.kind !== 'empty') list.push('Content-Length', String(contentLength(reply)))
  if (isLast) list.push('Connection', 'close')
  return list
}

function contentLength(reply: Exclude<Reply, { kind: 'empty' }>): number {
  if (reply.kind === 'whole') return reply.body?.byteLength ?? 0
  return reply.kind === 'head' ? reply.length : reply.source.length
}

/** All bytes of a reply that ends its connection. Not for streams, whose body it would leave out. */
export function lastReplyBytes(
  reply: Exclude<Reply, { kind: 'stream' }>,
  common: readonly HeaderPair[],
  isHead: boolean,
): Buffer {
  const list = headerList(reply, common, true)
  let head = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n`
  for (let at = 0; at < list.length; at += 2) head += `${list[at]}: ${list[at + 1]}\r\n`
  const body = reply.kind === 'whole' && !isHead ? reply.body : undefined
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), body ?? new Uint8Array(0)])
}
