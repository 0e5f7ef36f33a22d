// What an Authorization header holds. It says nothing about whether any of it is true.

export type Authorization =
  | { readonly scheme: 'basic'; readonly username: string; readonly password: string }
  | { readonly scheme: 'bearer'; readonly token: string }
  /** Another scheme, or one of these written wrongly. */
  | { readonly scheme: 'unknown' }

const unknown: Authorization = Object.freeze({ scheme: 'unknown' })
// Its default would drop a mark at the beginning, and two names would be one.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const controls = /\p{Cc}/u

/** Source: RFC 9110 §11.6.2, RFC 7617 §2 (UTF-8, no control characters), RFC 6750 §2.1. */
export function parseAuthorization(header: string): Authorization {
  const match = /^([A-Za-z]+) +([A-Za-z0-9._~+/-]+=*)$/.exec(header)
  const [, scheme = '', value = ''] = match ?? []
  switch (scheme.toLowerCase()) {
    case 'basic':
      return parseBasic(value)
    case 'bearer':
      return { scheme: 'bearer', token: value }
    default:
      return unknown
  }
}

function parseBasic(value: string): Authorization {
  let text: string
  try {
    text = utf8.decode(Buffer.from(value, 'base64'))
  } catch {
    return unknown
  }
  const colon = text.indexOf(':')
  if (colon < 1 || controls.test(text)) return unknown
  return { scheme: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) }
}
