// The headers that every reply of a listener carries, whatever was asked.

import type { Config } from '../config/schema.ts'
import type { HeaderPair } from '../http/header-block.ts'

/**
 * HSTS on TLS only, since a client must ignore it elsewhere.
 * Source: RFC 6797 §7.2; W3C CSP Level 3; WHATWG Fetch "X-Content-Type-Options".
 */
export function replyHeaders(headers: Config['headers'], tls: boolean): readonly HeaderPair[] {
  const { hstsMaxAgeMs, contentSecurityPolicy, nosniff } = headers
  const pairs: HeaderPair[] = []
  // A max-age of 0 would have clients forget what they were told.
  const hstsSeconds = Math.floor(hstsMaxAgeMs / 1000)
  if (tls && hstsSeconds > 0) {
    pairs.push(['Strict-Transport-Security', `max-age=${hstsSeconds}`])
  }
  if (contentSecurityPolicy !== '') pairs.push(['Content-Security-Policy', contentSecurityPolicy])
  if (nosniff) pairs.push(['X-Content-Type-Options', 'nosniff'])
  return pairs
}
