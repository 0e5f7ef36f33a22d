// The head of a reply, for node to write and, where node will not answer any more, as raw bytes.

import { STATUS_CODES } from 'node:http'
import type { HeaderBlock, HeaderPair } from '../../../http/header-block.ts'
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

interface Joined {
  readonly common: readonly HeaderPair[]
  readonly text: string
}

// A block is mostly sent many times, and by one listener.
const joinedTexts = new WeakMap<HeaderBlock, Joined>()

function headerText(headers: HeaderBlock, common: readonly HeaderPair[]): string {
  const known = joinedTexts.get(headers)
  if (known?.common === common) return known.text
  const lines = [...headers.pairs, ...common].map(([name, value]) => `${name}: ${value}\r\n`)
  const text = lines.join('')
  joinedTexts.set(headers, { common, text })
  return text
}

let dateSecond = -1
let dateLine = ''

/** The line that node:http sends, too. Made once a second. */
function date(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateLine = `Date: ${new Date(second * 1000).toUTCString()}\r\n`
  }
  return dateLine
}

/** Status line and headers, to the empty line. `common` are those of every reply. */
export function replyHead(reply: Reply, common: readonly HeaderPair[], isLast: boolean): string {
  const start = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n${date()}`
  if (isLast) {
    const list = headerList(reply, common, true)
    let head = start
    for (let at = 0; at < list.length; at += 2) head += `${list[at]}: ${list[at + 1]}\r\n`
    return `${head}\r\n`
  }
  const lines = start + headerText(reply.headers, common)
  return reply.kind === 'empty'
    ? `${lines}\r\n`
    : `${lines}Content-Length: ${contentLength(reply)}\r\n\r\n`
}

/** All bytes of a reply that ends its connection, but for the body of a stream. */
export function lastReplyBytes(
  reply: Reply,
  common: readonly HeaderPair[],
  isHead: boolean,
): Buffer {
  const head = replyHead(reply, common, true)
  const body = reply.kind === 'whole' && !isHead ? reply.body : undefined
  return Buffer.concat([Buffer.from(head, 'latin1'), body ?? new Uint8Array(0)])
}
