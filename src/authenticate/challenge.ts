// How a client is told to authenticate.

/** Source: RFC 7617 §2; the conformance suite and Docker want quoted values. */
export const challenge: readonly [name: string, value: string] = [
  'WWW-Authenticate',
  'Basic realm="keelson"',
]
