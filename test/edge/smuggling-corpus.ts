// Requests that try to leave a second one on the connection between a proxy and its server. Made from
// templates: each way to write a framing header × each way to make two readers disagree about the end.

export interface SmugglingCase {
  readonly name: string
  /** As latin1. */
  readonly bytes: string
}

export interface SmugglingTarget {
  /** A resource that takes a body. */
  readonly put: string
  readonly get: string
  /** The request that a proxy must not see, and whose answer nobody must get. */
  readonly hidden: string
}

type Lines = readonly string[]

const crlf = '\r\n'

function message(line: string, lines: Lines, body = ''): string {
  return [line, 'Host: registry.test', ...lines, '', body].join(crlf)
}

function chunk(data: string): string {
  return `${data.length.toString(16)}${crlf}${data}${crlf}`
}

const lastChunk = `0${crlf}${crlf}`

/** Spellings of the header that one reader may take for chunked and another not. */
const codings: Readonly<Record<string, string>> = {
  plain: 'Transfer-Encoding: chunked',
  'in capitals': 'TRANSFER-ENCODING: CHUNKED',
  'almost chunked': 'Transfer-Encoding: xchunked',
  'cut short': 'Transfer-Encoding: chunke',
  'with identity': 'Transfer-Encoding: chunked, identity',
  'behind identity': 'Transfer-Encoding: identity, chunked',
  'behind an unknown coding': 'Transfer-Encoding: gzip, chunked',
  'with a parameter': 'Transfer-Encoding: chunked;a=b',
  quoted: 'Transfer-Encoding: "chunked"',
  'with a space before the colon': 'Transfer-Encoding : chunked',
  'with a tab before the colon': 'Transfer-Encoding\t: chunked',
  'without a space': 'Transfer-Encoding:chunked',
  'behind a tab': 'Transfer-Encoding:\tchunked',
  'behind a vertical tab': 'Transfer-Encoding:\u000bchunked',
  'before a tab': 'Transfer-Encoding: chunked\t',
  folded: `Transfer-Encoding:${crlf} chunked`,
  'folded into a header before it': `X: y${crlf} Transfer-Encoding: chunked`,
  'with a space before the name': ' Transfer-Encoding: chunked',
  'with an underscore': 'Transfer_Encoding: chunked',
  'behind a line feed': 'X: y\nTransfer-Encoding: chunked',
  'behind a carriage return': 'X: y\rTransfer-Encoding: chunked',
  'with a NUL': 'Transfer-Encoding: chunked\u0000',
  'with a high byte': 'Transfer-Encoding: chunked\u00a0',
  'with a high byte in its name': 'Transfer-Encoding\u00a0: chunked',
  twice: `Transfer-Encoding: chunked${crlf}Transfer-Encoding: identity`,
  'twice, the other way round': `Transfer-Encoding: identity${crlf}Transfer-Encoding: chunked`,
  empty: 'Transfer-Encoding:',
  'of compression': 'Transfer-Encoding: compress',
}

/** Two readers of these take another one of the two lengths. */
const lengthPairs: Readonly<Record<string, (short: number, long: number) => Lines>> = {
  'the short one first': (short, long) => [`Content-Length: ${short}`, `Content-Length: ${long}`],
  'the long one first': (short, long) => [`Content-Length: ${long}`, `Content-Length: ${short}`],
  'as a list': (short, long) => [`Content-Length: ${short}, ${long}`],
  'one with a plus': (short, long) => [`Content-Length: +${short}`, `Content-Length: ${long}`],
  'one with an underscore': (short, long) => [
    `Content_Length: ${short}`,
    `Content-Length: ${long}`,
  ],
  'one with a space before the colon': (short, long) => [
    `Content-Length : ${short}`,
    `Content-Length: ${long}`,
  ],
  'one folded': (short, long) => [
    `X: y${crlf} Content-Length: ${short}`,
    `Content-Length: ${long}`,
  ],
  'one behind a line feed': (short, long) => [
    `X: y\nContent-Length: ${short}`,
    `Content-Length: ${long}`,
  ],
  'one hexadecimal': (short, long) => [
    `Content-Length: 0x${short.toString(16)}`,
    `Content-Length: ${long}`,
  ],
  'one with leading zeros': (short, long) => [`Content-Length: 000${short}${long}`],
}

/** Chunked bodies whose end is in the eye of the beholder; `hidden` is behind the first one. */
const chunkings: Readonly<Record<string, (hidden: string) => string>> = {
  'an extension with a line feed': (hidden) => `2;\nxx${crlf}${lastChunk}${hidden}`,
  'an extension that hides a size': (hidden) => `1;a=${crlf}b${crlf}${lastChunk}${hidden}`,
  'an extension that is long': (hidden) =>
    `1;${'a'.repeat(5000)}${crlf}b${crlf}${lastChunk}${hidden}`,
  'a size ended by a line feed': (hidden) => `1\nb${crlf}${lastChunk}${hidden}`,
  'a size ended by a carriage return': (hidden) => `1\rXb${crlf}${lastChunk}${hidden}`,
  'a size with leading zeros': (hidden) => `00000000000000001${crlf}b${crlf}${lastChunk}${hidden}`,
  'a size of many digits': (hidden) => `${'1'.repeat(17)}${crlf}b${crlf}${lastChunk}${hidden}`,
  'a size that wraps': (hidden) => `10000000000000001${crlf}b${crlf}${lastChunk}${hidden}`,
  'a hexadecimal prefix': (hidden) => `0x1${crlf}b${crlf}${lastChunk}${hidden}`,
  'a sign': (hidden) => `+1${crlf}b${crlf}${lastChunk}${hidden}`,
  'a space before a size': (hidden) => ` 1${crlf}b${crlf}${lastChunk}${hidden}`,
  'a space behind a size': (hidden) => `1 ${crlf}b${crlf}${lastChunk}${hidden}`,
  'two more bytes behind a chunk': (hidden) => `1${crlf}bXX${lastChunk}${hidden}`,
  'a last chunk of many zeros': (hidden) => `1${crlf}b${crlf}000000${crlf}${crlf}${hidden}`,
  'a last chunk with an extension': (hidden) => `1${crlf}b${crlf}0;a=b${crlf}${crlf}${hidden}`,
  'a last chunk ended by line feeds': (hidden) => `1${crlf}b${crlf}0\n\n${hidden}`,
  trailers: (hidden) => `1${crlf}b${crlf}0${crlf}Content-Length: 5${crlf}${crlf}${hidden}`,
  'trailers that look like a request': (hidden) => `1${crlf}b${crlf}0${crlf}${hidden}`,
  'a minus': (hidden) => `-1${crlf}b${crlf}${lastChunk}${hidden}`,
}

export function smugglingCases(target: SmugglingTarget): readonly SmugglingCase[] {
  const table: Readonly<Record<string, string>> = {
    ...codingCases(target),
    ...lengthCases(target),
    ...chunkCases(target),
    ...bodyCases(target),
    ...lineCases(target),
  }
  return Object.entries(table).map(([name, bytes]) => ({ name, bytes }))
}

function codingCases({ put, hidden }: SmugglingTarget): Readonly<Record<string, string>> {
  const cases: Record<string, string> = {}
  for (const [how, coding] of Object.entries(codings)) {
    const behindLast = lastChunk + hidden
    const byLength = [`Content-Length: ${behindLast.length}`, coding]
    cases[`length before chunks, coding ${how}`] = message(
      `PUT ${put} HTTP/1.1`,
      byLength,
      behindLast,
    )
    const body = chunk(hidden) + lastChunk
    const sizeLine = body.indexOf(crlf) + crlf.length
    const byChunks = [coding, `Content-Length: ${sizeLine}`]
    cases[`chunks before length, coding ${how}`] = message(`PUT ${put} HTTP/1.1`, byChunks, body)
  }
  return cases
}

function lengthCases({ put, hidden }: SmugglingTarget): Readonly<Record<string, string>> {
  const cases: Record<string, string> = {}
  for (const [how, lines] of Object.entries(lengthPairs)) {
    const body = `hello${hidden}`
    cases[`two lengths, ${how}`] = message(`PUT ${put} HTTP/1.1`, lines(5, body.length), body)
  }
  return cases
}

function chunkCases({ put, hidden }: SmugglingTarget): Readonly<Record<string, string>> {
  const cases: Record<string, string> = {}
  for (const [how, body] of Object.entries(chunkings)) {
    const lines = ['Transfer-Encoding: chunked']
    cases[`chunks, ${how}`] = message(`PUT ${put} HTTP/1.1`, lines, body(hidden))
  }
  return cases
}

/** A body where none is expected: a reader that leaves it takes it for the next request. */
function bodyCases({ put, get, hidden }: SmugglingTarget): Readonly<Record<string, string>> {
  const cases: Record<string, string> = {}
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST']) {
    const line = `${method} ${method === 'POST' ? put : get} HTTP/1.1`
    const length = `Content-Length: ${hidden.length}`
    cases[`a sized body on ${method}`] = message(line, [length], hidden)
    const coded = chunk(hidden) + lastChunk
    cases[`a chunked body on ${method}`] = message(line, ['Transfer-Encoding: chunked'], coded)
    const expecting = [length, 'Expect: 100-continue']
    cases[`an expected body on ${method}`] = message(line, expecting, hidden)
  }
  return cases
}

/** Request lines and single headers that are read in more than one way. */
function lineCases({ put, get, hidden }: SmugglingTarget): Readonly<Record<string, string>> {
  const length = `Content-Length: ${hidden.length}`
  const split = `${get} HTTP/1.1${crlf}Host: x${crlf}${crlf}${hidden}`
  const escaped = encodeURIComponent(split).replaceAll('%2F', '/')
  return {
    'version 1.0 with chunks': message(
      `PUT ${put} HTTP/1.0`,
      ['Connection: keep-alive', 'Transfer-Encoding: chunked'],
      lastChunk + hidden,
    ),
    'version 1.0 with a body on GET': message(
      `GET ${get} HTTP/1.0`,
      ['Connection: keep-alive', length],
      hidden,
    ),
    'no version': `GET ${get}${crlf}${hidden}`,
    'an escaped request in the target': message(`GET ${escaped} HTTP/1.1`, []),
    'an escaped request in the query': message(`GET ${get}?x=${escaped} HTTP/1.1`, []),
    'an absolute target': message(`GET http://other.test${get} HTTP/1.1`, []),
    'a target with a space': message(`GET ${get} ${get} HTTP/1.1`, []),
    'a header without a name before a length': message(
      `PUT ${put} HTTP/1.1`,
      [': x', length],
      hidden,
    ),
    'two Hosts': message(`GET ${get} HTTP/1.1`, ['Host: other.test']),
    'a Host with a request': message(`GET ${get} HTTP/1.1`, [`X: y${crlf}Host : other.test`]),
    'an upgrade': message(
      `GET ${get} HTTP/1.1`,
      ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
      hidden,
    ),
    'an upgrade to HTTP/2': message(
      `GET ${get} HTTP/1.1`,
      ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAA'],
      hidden,
    ),
    'a length removed by Connection': message(
      `PUT ${put} HTTP/1.1`,
      ['Connection: Content-Length', length],
      hidden,
    ),
    'a coding removed by Connection': message(
      `PUT ${put} HTTP/1.1`,
      ['Connection: Transfer-Encoding', 'Transfer-Encoding: chunked'],
      chunk(hidden) + lastChunk,
    ),
    'an expectation with a body that comes anyway': message(
      `PUT ${put} HTTP/1.1`,
      ['Expect: 100-continue', 'Content-Length: 5'],
      `hello${hidden}`,
    ),
    'an unknown expectation': message(`PUT ${put} HTTP/1.1`, ['Expect: x', length], hidden),
    'line feeds for line ends': `GET ${get} HTTP/1.1\nHost: registry.test\n\n${hidden}`,
    'empty lines ahead': `${crlf}${crlf}${message(`GET ${get} HTTP/1.1`, [])}`,
    'a header of 12 kB': message(`GET ${get} HTTP/1.1`, [`X: ${'a'.repeat(12_000)}`]),
    'more than the server takes of headers': message(
      `GET ${get} HTTP/1.1`,
      Array.from({ length: 4 }, (_none, at) => `X-${at}: ${'a'.repeat(7_000)}`),
    ),
    'a request behind a request': message(`GET ${get} HTTP/1.1`, []) + hidden,
    'a body cut short': message(`PUT ${put} HTTP/1.1`, ['Content-Length: 1000000'], 'hello'),
    'chunks cut short': message(`PUT ${put} HTTP/1.1`, ['Transfer-Encoding: chunked'], '5\r\nhel'),
  }
}
