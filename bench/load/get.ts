// One GET over plain HTTP or TLS, its body still to be read. Certificates are verified.

import { readFileSync } from 'node:fs'
import { get as getPlain, type IncomingMessage } from 'node:http'
import { get as getSecure } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import type { Credentials, Origin } from '../contract.ts'

/** For `node:tls` and `node:https`: whom to trust and what to show. */
export function clientOptions({ caFile, client }: Credentials): SecureContextOptions {
  const ca = readFileSync(caFile)
  if (client === undefined) return { ca }
  return { ca, cert: readFileSync(client.certificateFile), key: readFileSync(client.keyFile) }
}

/** The header line of a client that shows something, if it does. */
export function authorizationLines(authorization: string | undefined): readonly string[] {
  return authorization === undefined ? [] : [`Authorization: ${authorization}`]
}

/** On a connection of its own. Errors: as the connection's. */
export function get(
  { port, credentials, authorization }: Origin,
  path: string,
  wanted: Readonly<Record<string, string>> = {},
): Promise<IncomingMessage> {
  const shown = authorization === undefined ? {} : { Authorization: authorization }
  const headers = { ...shown, ...wanted }
  const options = { host: '127.0.0.1', port, path, headers, agent: false }
  return new Promise((resolve, reject) => {
    const request =
      credentials === undefined
        ? getPlain(options, resolve)
        : getSecure({ ...options, ...clientOptions(credentials) }, resolve)
    request.once('error', reject)
  })
}
