// Where a service is, and what we show there; both checked before anything is sent.

import { isLoopbackHost } from '../http/loopback.ts'
import type { CallerAuth } from './contract.ts'

/**
 * `hasSecret`: then only HTTPS will do, or HTTP to this very host.
 * Errors: an Error that begins with `name`.
 */
export function parseServiceUrl(name: string, text: string, hasSecret: boolean): URL {
  const refuse = (problem: string): Error => new Error(`${name}.url: ${problem}`)
  if (!URL.canParse(text)) throw refuse(`expected a URL; found ${JSON.stringify(text)}`)
  const url = new URL(text)
  const isPlain = url.protocol === 'http:'
  if (!isPlain && url.protocol !== 'https:') {
    throw refuse(`expected an http or https URL; found ${url.protocol}`)
  }
  // Not shown: it may hold a password.
  if (url.username !== '' || url.password !== '') throw refuse('expected a URL without a user')
  if (url.hash !== '') throw refuse('expected a URL without a fragment')
  if (isPlain && hasSecret && !isLoopbackHost(url.hostname)) {
    throw refuse('credentials are not sent to another host without TLS; expected an https URL')
  }
  return url
}

/**
 * The value of the Authorization header.
 * Errors: an Error that begins with `name` and shows no secret. Source: RFC 6750 §2.1, RFC 7617 §2.
 */
export function authorizationOf(name: string, auth: CallerAuth): string {
  if (auth.kind === 'bearer') {
    const token = auth.token.reveal()
    if (!/^[\x21-\x7e]+$/.test(token)) {
      throw new Error(`${name}.bearer_token: expected visible ASCII characters alone`)
    }
    return `Bearer ${token}`
  }
  const { username, password } = auth
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
  if (/[:\x00-\x1f\x7f]/.test(username)) {
    throw new Error(`${name}.username: expected no colon and no control character`)
  }
  const text = `${username}:${password.reveal()}`
  return `Basic ${Buffer.from(text, 'utf8').toString('base64')}`
}
