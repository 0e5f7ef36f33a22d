// Requests that no client sends, as one table: for the contract of the transports, for the product, and
// for what a proxy in front lets through.

/** Where the requests point: what must not be changed, and a body that would be taken there. */
export interface HostileTarget {
  readonly host: string
  readonly get: string
  readonly put: string
  readonly remove: string
  readonly body: string
}

/** Name of the case → the bytes of one request, as latin1. */
export type RequestTable = Readonly<Record<string, string>>

type Lines = readonly string[]

const crlf = '\r\n'

/** One request of the table: `Host` first, then `lines` as they are. */
function requestOf(method: string, target: string, host: string, lines: Lines, body = ''): string {
  return [`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...lines, '', body].join(crlf)
}

function chunked(body: string): string {
  return `${body.length.toString(16)}${crlf}${body}${crlf}0${crlf}${crlf}`
}

/** Every parser here delivers them: they are refused in our form, and the connection ends. */
export function deliveredCases(target: HostileTarget): RequestTable {
  const { get, put, remove, body, host } = target
  const size = body.length
  const length = `Content-Length: ${size}`
  const sized = (...lines: Lines): string => requestOf('PUT', put, host, lines, body)
  const coded = (...lines: Lines): string => requestOf('PUT', put, host, lines, chunked(body))
  const bare = (method: string, where: string, ...lines: Lines): string =>
    requestOf(method, where, host, lines)
  return {
    'two Content-Lengths, the first right': sized(length, `Content-Length: ${size + 1}`),
    'two Content-Lengths, the second right': sized(`Content-Length: ${size + 1}`, length),
    'two Content-Lengths, one of them 0': sized('Content-Length: 0', length),
    'two Content-Lengths that agree': sized(length, `content-length: ${size}`),
    'a Content-Length beyond 2^53': sized('Content-Length: 9007199254740993'),
    'a Content-Length beyond 2^64': sized('Content-Length: 18446744073709551621'),
    'a list of Content-Lengths': sized(`Content-Length: ${size}, ${size + 1}`),
    'a list of Content-Lengths that agree': sized(`Content-Length: ${size}, ${size}`),
    'two numbers in a Content-Length': sized(`Content-Length: ${size} ${size}`),
    'a negative Content-Length': sized('Content-Length: -5'),
    'a Content-Length with a sign': sized(`Content-Length: +${size}`),
    'a hexadecimal Content-Length': sized(`Content-Length: 0x${size.toString(16)}`),
    'a Content-Length with an exponent': sized('Content-Length: 1e1'),
    'a Content-Length with a fraction': sized(`Content-Length: ${size}.0`),
    'a Content-Length that is no number': sized('Content-Length: five'),
    'an empty Content-Length': sized('Content-Length:'),
    'a quoted Content-Length': sized(`Content-Length: "${size}"`),
    'an unknown Transfer-Encoding': coded('Transfer-Encoding: gzip'),
    'a Transfer-Encoding of two codings': coded('Transfer-Encoding: gzip, chunked'),
    'chunked before another coding': coded('Transfer-Encoding: chunked, identity'),
    'chunked twice': coded('Transfer-Encoding: chunked, chunked'),
    'two Transfer-Encodings': coded('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    'two Transfer-Encodings that differ': coded(
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: identity',
    ),
    'two Transfer-Encodings, the last chunked': coded(
      'Transfer-Encoding: identity',
      'Transfer-Encoding: chunked',
    ),
    'a Transfer-Encoding almost chunked': coded('Transfer-Encoding: xchunked'),
    'a Transfer-Encoding cut short': coded('Transfer-Encoding: chunke'),
    'a quoted Transfer-Encoding': coded('Transfer-Encoding: "chunked"'),
    'a Transfer-Encoding with a parameter': coded('Transfer-Encoding: chunked;q=1'),
    'the coding identity': coded('Transfer-Encoding: identity'),
    'an empty Transfer-Encoding': coded('Transfer-Encoding:'),
    'a Transfer-Encoding with a comma': coded('Transfer-Encoding: ,chunked'),
    'a Transfer-Encoding on GET': bare('GET', get, 'Transfer-Encoding: identity'),
    // The end of a body that somebody else saw end elsewhere.
    'a method that nobody knows': bare('helloDELETE', remove),
    'a method that is no token': bare('DEL/ETE', remove),
    'a method in lower case': bare('delete', remove),
    'two Hosts on DELETE': bare('DELETE', remove, 'Host: other'),
    'two Hosts on GET': bare('GET', get, 'Host: other'),
    'two Hosts on HEAD': bare('HEAD', get, 'Host: other'),
    'two Hosts that agree': bare('DELETE', remove, `host: ${host}`),
    'two Hosts and a body': sized('Host: other', length),
    ...readsWithBody(target),
  }
}

function readsWithBody({ get, remove, body, host }: HostileTarget): RequestTable {
  const table: Record<string, string> = {}
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    const where = method === 'DELETE' ? remove : get
    const length = [`Content-Length: ${body.length}`]
    const coding = ['Transfer-Encoding: chunked']
    table[`a sized body on ${method}`] = requestOf(method, where, host, length, body)
    table[`a chunked body on ${method}`] = requestOf(method, where, host, coding, chunked(body))
  }
  return table
}

/** A parser may refuse these itself, with a reply of its own, or close without a word. */
export function parserCases(target: HostileTarget): RequestTable {
  const { get, put, remove, body, host } = target
  const length = `Content-Length: ${body.length}`
  const put_ = (lines: Lines, rest: string): string => requestOf('PUT', put, host, lines, rest)
  const coded = (...lines: Lines): string => put_(lines, chunked(body))
  const sized = (...lines: Lines): string => put_(lines, body)
  const bare = (...lines: Lines): string => requestOf('DELETE', remove, host, lines)
  const whole = (line: string, ...lines: Lines): string => [line, ...lines, '', ''].join(crlf)
  return {
    'Content-Length with Transfer-Encoding': coded(
      'Content-Length: 4',
      'Transfer-Encoding: chunked',
    ),
    'Transfer-Encoding with Content-Length': coded(
      'Transfer-Encoding: chunked',
      'Content-Length: 4',
    ),
    'Transfer-Encoding with a fitting Content-Length': sized('Transfer-Encoding: chunked', length),
    'Content-Length with an unknown coding': sized(length, 'Transfer-Encoding: xchunked'),
    'a space before the colon of Content-Length': sized(`Content-Length : ${body.length}`),
    'a space before the colon of Transfer-Encoding': coded('Transfer-Encoding : chunked'),
    'a tab before the colon of Transfer-Encoding': coded('Transfer-Encoding\t: chunked'),
    'a space before Transfer-Encoding': coded(' Transfer-Encoding: chunked'),
    'a space before a first Content-Length': put_([` ${length}`], body),
    'a folded header': sized('X-One: a', ` ${length}`),
    'a folded Transfer-Encoding': coded('Transfer-Encoding:', ' chunked'),
    'a Transfer-Encoding folded by a tab': coded('Transfer-Encoding:', '\tchunked'),
    'a vertical tab in Transfer-Encoding': coded('Transfer-Encoding: \u000bchunked'),
    'a NUL in Transfer-Encoding': coded('Transfer-Encoding: chunked\u0000'),
    'a carriage return in Transfer-Encoding': coded('Transfer-Encoding: chunked\rX: y'),
    'a Transfer-Encoding behind a bare carriage return': coded('X: y\rTransfer-Encoding: chunked'),
    'a Transfer-Encoding behind a bare line feed': coded('X: y\nTransfer-Encoding: chunked'),
    'a Content-Length behind a bare line feed': sized(`X: y\n${length}`),
    'a Content-Length ended by a line feed': sized(`${length}\nX: y`),
    'a header line without a colon': bare('Content-Length'),
    'a header without a name': bare(': value'),
    'a header without a name before Content-Length': sized(': value', length),
    'a header without a name before Transfer-Encoding': coded(': v', 'Transfer-Encoding: chunked'),
    'a header without a name before Host': whole(
      `DELETE ${remove} HTTP/1.1`,
      ': v',
      `Host: ${host}`,
    ),
    'a control byte in a header name': bare('X-\u0001Y: z'),
    'a space in a header name': bare('X Y: z'),
    'a NUL in a header value': bare('X-Y: \u0000'),
    'a control byte in a header value': bare('X-Y: \u0001'),
    'a delete byte in a header value': bare('X-Y: \u007f'),
    'a bare carriage return in a header': bare(`X-Y: a\r${length}`),
    'no Host': whole(`DELETE ${remove} HTTP/1.1`, 'Accept: a/b'),
    'no headers at all': whole(`DELETE ${remove} HTTP/1.1`),
    'a control byte in the target': whole(`DELETE ${remove}\u0001 HTTP/1.1`, `Host: ${host}`),
    'a NUL in the target': whole(`DELETE ${remove}\u0000 HTTP/1.1`, `Host: ${host}`),
    'a space in the target': whole(`DELETE ${remove} x HTTP/1.1`, `Host: ${host}`),
    'a tab in the request line': whole(`DELETE\t${remove} HTTP/1.1`, `Host: ${host}`),
    'an empty target': whole('DELETE  HTTP/1.1', `Host: ${host}`),
    'another protocol': whole(`DELETE ${remove} HTTQ/1.1`, `Host: ${host}`),
    'no version': whole(`DELETE ${remove}`),
    'no version, with headers': whole(`DELETE ${remove}`, `Host: ${host}`),
    'version 0.9': whole(`DELETE ${remove} HTTP/0.9`, `Host: ${host}`),
    'version 1.2': whole(`DELETE ${remove} HTTP/1.2`, `Host: ${host}`),
    'version 2.0': whole(`DELETE ${remove} HTTP/2.0`, `Host: ${host}`),
    'version 3.0': whole(`DELETE ${remove} HTTP/3.0`, `Host: ${host}`),
    'a version of two digits': whole(`DELETE ${remove} HTTP/1.10`, `Host: ${host}`),
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'the beginning of a TLS handshake':
      '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003',
    ...overlongCases(get, host),
  }
}

function overlongCases(get: string, host: string): RequestTable {
  const many = 256 * 1024
  const head = (...lines: Lines): string => requestOf('GET', get, host, lines)
  return {
    'headers of 17 KiB': head(`X-Large: ${'a'.repeat(17 * 1024)}`),
    'headers of 256 KiB': head(`X-Large: ${'a'.repeat(many)}`),
    'five thousand headers': head(...Array.from({ length: 5_000 }, (_none, at) => `X-${at}: y`)),
    'a target of 17 KiB': requestOf('GET', `${get}${'a'.repeat(17 * 1024)}`, host, []),
    'a target of 256 KiB': requestOf('GET', `${get}${'a'.repeat(many)}`, host, []),
    'headers without an end': `${head().slice(0, -2)}${'X: y\r\n'.repeat(40_000)}`,
    'a method without an end': 'A'.repeat(many),
  }
}

/** Chunked bodies that never end well; each is followed by what a wrong reader takes for a request. */
export function brokenChunks(body: string): RequestTable {
  const size = body.length.toString(16)
  const digits = size.padStart(16, '0')
  const rest = `${crlf}${body}${crlf}0${crlf}${crlf}`
  const after = (end: string): string => `${size}${crlf}${body}${end}`
  return {
    'a chunk size that is no number': `xyz${rest}`,
    'a chunk size with a sign': `+${size}${rest}`,
    'a negative chunk size': `-${size}${rest}`,
    'a hexadecimal prefix': `0x${size}${rest}`,
    'a chunk size beyond 2^64': `1${digits}${rest}`,
    'a chunk size of many digits': `${'f'.repeat(40)}${rest}`,
    'a chunk longer than announced': `${(body.length - 1).toString(16)}${rest}`,
    'a chunk shorter than announced': `${(body.length + 1).toString(16)}${rest}`,
    'an empty chunk size': rest,
    'a comma in a chunk size': `${size},${size}${rest}`,
    'a chunk size of two numbers': `${size} ${size}${rest}`,
    'an underscore in a chunk size': `0_${size}${rest}`,
    'a space before a chunk size': ` ${size}${rest}`,
    'garbage behind a chunk': after('XX\r\n0\r\n\r\n'),
    'nothing behind a chunk': after('0\r\n\r\n'),
    'a line feed behind a chunk size': `${size}\n${body}\r\n0\r\n\r\n`,
    'a line feed behind a chunk': after('\n0\r\n\r\n'),
    'a carriage return behind a chunk size': `${size}\r${body}\r\n0\r\n\r\n`,
    'a NUL in a chunk size': `${size}\u0000${rest}`,
    'a line feed in a chunk extension': `${size};a=\nb${rest}`,
    'a chunk extension that hides a chunk': `${size};\n0\r\n${rest}`,
    'a chunk extension without an end': `${size};${'a'.repeat(256 * 1024)}`,
    'a last chunk ended by a line feed': after('\r\n0\n\r\n'),
  }
}

/** Cases of the tables above that uWebSockets.js takes for good requests, out of our reach. */
export const uwsIsFooledBy: readonly string[] = [
  // It stops looking at headers there.
  'a header without a name',
  'a header without a name before Content-Length',
  'a header without a name before Transfer-Encoding',
  // It skips two bytes behind a chunk's size and data, whatever they are, and takes no size for 0.
  'a chunk shorter than announced',
  'a chunk size of two numbers',
  'garbage behind a chunk',
  'nothing behind a chunk',
  'a line feed behind a chunk size',
  'a line feed behind a chunk',
  'a NUL in a chunk size',
  'a last chunk ended by a line feed',
]
