// A program: uWebSockets.js with one handler for each target, which answers with bytes that were
// read from a file beforehand and knows nothing else. Its arguments are the port, that file, and for
// TLS the certificate and the key. SIGHUP has it read the file.

import type * as UWebSockets from 'uWebSockets.js'
import type { HttpResponse } from 'uWebSockets.js'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

/** One answer with status 200: what one header call of the library writes, and the body. */
export interface BareAnswer {
  readonly path: string
  /** The name of the first line, then its value with all other lines behind it. */
  readonly name: string
  readonly rest: string
  /** Base64; undefined for an answer to HEAD. */
  readonly body: string | undefined
}

// CommonJS, whose names cannot be imported one by one.
const { App, SSLApp } = createRequire(import.meta.url)('uWebSockets.js') as typeof UWebSockets

const [port, file = '', certificate, key] = process.argv.slice(2)
const app =
  certificate === undefined || key === undefined
    ? App()
    : SSLApp({ cert_file_name: certificate, key_file_name: key })

function handlerOf({ name, rest, body }: BareAnswer): (res: HttpResponse) => void {
  const [nameBytes, restBytes] = [Buffer.from(name), Buffer.from(rest)]
  if (body === undefined) {
    return (res) => {
      res.writeHeader(nameBytes, restBytes)
      res.endWithoutBody()
    }
  }
  const bytes = Buffer.from(body, 'base64')
  return (res) => {
    res.writeHeader(nameBytes, restBytes)
    res.end(bytes)
  }
}

process.on('SIGHUP', () => {
  for (const answer of JSON.parse(readFileSync(file, 'utf8')) as readonly BareAnswer[]) {
    if (answer.body === undefined) app.head(answer.path, handlerOf(answer))
    else app.get(answer.path, handlerOf(answer))
  }
})
app.any('/*', (res) => {
  res.writeStatus('404 Not Found')
  res.end()
})
app.listen('127.0.0.1', Number(port), (socket) => {
  if (socket === false) throw new Error(`port ${port} is taken`)
})
