// Reads a request that came in one piece and has nothing special about it: what nearly every pull is.

export interface SimpleHead {
  readonly method: 'GET' | 'HEAD'
  /** Path and query, as sent. */
  readonly target: string
  /** By lower-case name; none is repeated. */
  readonly headers: ReadonlyMap<string, string>
}

const bytesMax = 16 * 1024
// The one form in which two parsers can hardly differ: visible ASCII, single spaces, CR LF.
const form = /^(GET|HEAD) (\/[!"$-~]*) HTTP\/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n){1,100})\r\n$/
// These say where a message ends or change what comes after it, and node's parser knows them all.
const special: ReadonlySet<string> = new Set([
  ...['content-length', 'transfer-encoding', 'te', 'trailer'],
  ...['connection', 'proxy-connection', 'keep-alive', 'upgrade', 'expect', 'http2-settings'],
])

/**
 * The only request in `bytes`, which ends with it and has no body; undefined where anything differs
 * from that, or is repeated: such bytes are for node:http.
 * Limits: 16 KiB, 100 headers. Source: RFC 9112 sections 2 to 5, of which this takes a small part.
 */
export function readSimpleHead(bytes: Buffer): SimpleHead | undefined {
  if (bytes.length > bytesMax) return undefined
  const parts = form.exec(bytes.toString('latin1'))
  if (parts === null) return undefined
  const [, method, target = '', lines = ''] = parts
  const headers = new Map<string, string>()
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf('\r\n', start)
    const colon = lines.indexOf(':', start)
    const name = lines.slice(start, colon).toLowerCase()
    if (special.has(name) || headers.has(name)) return undefined
    headers.set(name, lines.slice(colon + 1, end).trim())
    start = end + 2
  }
  if (!headers.has('host')) return undefined
  return { method: method === 'HEAD' ? 'HEAD' : 'GET', target, headers }
}
