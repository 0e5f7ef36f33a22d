// What is wrong with a call before it is sent. It has to be known here: a request that undici refuses takes
// a connection of its pool out of use for good.

import type { Call } from './contract.ts'

// What frames a message, or is set for every call. Source: RFC 9110 §7.6.1.
const reserved: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Undefined where it can be sent. Source: RFC 9110 §5.1 and §5.5, RFC 9112 §3.2.1. */
export function requestProblem({ path, headers }: Call): string | undefined {
  if (path !== undefined && !/^\/[\x21-\x7e]*$/.test(path)) return 'its path is none'
  for (const name in headers) {
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || reserved.has(name)) {
      return `${JSON.stringify(name)} cannot be sent as a header`
    }
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(headers[name] ?? '')) {
      return `the value of the header ${name} holds odd characters`
    }
  }
  return undefined
}
