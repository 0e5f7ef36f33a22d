// Answers for plain registry requests in black-box tests: one call a request, nothing followed,
// nothing retried, nothing believed.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Agent, type IncomingMessage, request } from 'node:http'
import { request as requestSecure, Agent as SecureAgent } from 'node:https'
import { pipeline } from 'node:stream'

export type Algorithm = 'sha256' | 'sha512'

/** Bytes are sent with their length; several chunks by chunked transfer coding, without one. */
export type RequestBody = Uint8Array | AsyncIterable<Uint8Array> | readonly Uint8Array[]

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: RequestBody
}

export interface Answer {
  readonly status: number
  /** Lower-case names; repeated ones joined by ', '. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** For `https` addresses: whom to trust, and what to show; all in PEM. */
export interface ClientTls {
  readonly ca: string
  readonly cert?: string
  readonly key?: string
}

export interface PushedManifest {
  readonly digest: string
  readonly bytes: Buffer
  readonly answer: Answer
}

const octets = 'application/octet-stream'

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** A Location with one more query parameter, escaped as real clients do. */
export function withQuery(location: string, name: string, value: string): string {
  const url = new URL(location, 'http://registry')
  url.searchParams.append(name, value)
  return location.startsWith('/') ? `${url.pathname}${url.search}` : url.href
}

export function json<T>(answer: Answer): T {
  return JSON.parse(answer.body.toString()) as T
}

/** The status, or an assertion that shows the whole answer. */
export function assertStatus(answer: Answer, status: number, what = ''): Answer {
  const found = `${what} ${answer.status} ${JSON.stringify(answer.headers)} ${answer.body.subarray(0, 500)}`
  assert.equal(answer.status, status, found)
  return answer
}

/**
 * A refusal in the OCI form, with this status and code; resolves to its `detail`.
 * Source: distribution-spec "Error Codes".
 */
export function assertRefused(answer: Answer, status: number, code: string): unknown {
  assertStatus(answer, status)
  assert.equal(answer.headers['content-type'], 'application/json')
  assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0')
  const { errors } = json<{ errors: { code: string; message: string; detail?: unknown }[] }>(answer)
  assert.equal(errors.length, 1)
  const [error] = errors
  assert.equal(error?.code, code, answer.body.toString())
  assert.match(error?.code ?? '', /^[A-Z_]+$/)
  assert.ok(typeof error?.message === 'string' && error.message.length > 0)
  return error.detail
}

/** A client of one registry. Keeps connections; `close` drops them. */
export class RegistryClient {
  readonly url: string
  readonly #agent: Agent
  readonly #request: typeof request

  constructor(url: string, tls?: ClientTls) {
    this.url = url
    const options = { keepAlive: true, maxSockets: 16 }
    const isSecure = url.startsWith('https:')
    this.#agent = isSecure ? new SecureAgent({ ...options, ...tls }) : new Agent(options)
    this.#request = isSecure ? requestSecure : request
  }

  close(): void {
    this.#agent.destroy()
  }

  /** `target` goes out as it stands; one with a scheme is taken apart first. */
  async call(method: string, target: string, options: CallOptions = {}): Promise<Answer> {
    const response = await this.open(method, target, options)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(response.headers)) {
      headers[name] = Array.isArray(value) ? value.join(', ') : (value ?? '')
    }
    return { status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks) }
  }

  /** The same, with the body of the answer left to the caller. */
  open(method: string, target: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const { body = new Uint8Array(0) } = options
    const isWhole = body instanceof Uint8Array
    const { hostname, port, path } = this.#place(target)
    return new Promise((resolve, reject) => {
      const outgoing = this.#request({
        ...{ agent: this.#agent, method, hostname, port, path },
        headers: {
          ...(isWhole ? lengthOf(method, body) : { 'Transfer-Encoding': 'chunked' }),
          ...options.headers,
        },
      })
      outgoing.once('response', resolve)
      outgoing.once('error', reject)
      if (isWhole) outgoing.end(body)
      else pipeline(body, outgoing, (error) => error && outgoing.destroy(error))
    })
  }

  get(target: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call('GET', target, { headers })
  }

  head(target: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call('HEAD', target, { headers })
  }

  delete(target: string): Promise<Answer> {
    return this.call('DELETE', target)
  }

  /** POST: the Location of a new session. */
  async startUpload(repository: string, query = ''): Promise<string> {
    const answer = await this.call('POST', `/v2/${repository}/blobs/uploads/${query}`)
    return locationOf(assertStatus(answer, 202, 'start upload'))
  }

  /** PATCH. `range` is the value of Content-Range; without one the body is a stream. */
  patch(location: string, body: RequestBody, range?: string): Promise<Answer> {
    return this.call('PATCH', location, { body, headers: uploadHeaders(range) })
  }

  /** PUT with `digest` added to the Location's own query. */
  finish(location: string, digest: string, body?: RequestBody, range?: string): Promise<Answer> {
    return this.call('PUT', withQuery(location, 'digest', digest), {
      headers: body === undefined ? {} : uploadHeaders(range),
      ...(body === undefined ? {} : { body }),
    })
  }

  /** POST and PUT. Errors: an assertion where it is not accepted. */
  async pushBlob(
    repository: string,
    bytes: Uint8Array,
    algorithm: Algorithm = 'sha256',
  ): Promise<string> {
    const digest = digestOf(bytes, algorithm)
    const location = await this.startUpload(repository)
    assertStatus(await this.finish(location, digest, bytes), 201, 'push blob')
    return digest
  }

  /** PUT of bytes as they are, or of a value as JSON. The type is the manifest's own by default. */
  async putManifest(
    repository: string,
    reference: string,
    manifest: Uint8Array | object,
    mediaType?: string,
  ): Promise<PushedManifest> {
    const isBytes = manifest instanceof Uint8Array
    const bytes = Buffer.from(isBytes ? manifest : JSON.stringify(manifest))
    const own = isBytes ? undefined : (manifest as { mediaType?: string }).mediaType
    const type = mediaType ?? own
    const answer = await this.call('PUT', `/v2/${repository}/manifests/${reference}`, {
      body: bytes,
      headers: type === undefined ? {} : { 'Content-Type': type },
    })
    return { digest: digestOf(bytes), bytes, answer }
  }

  #place(target: string): { hostname: string; port: string; path: string } {
    const base = new URL(target.startsWith('/') ? this.url : target)
    const path = target.startsWith('/') ? target : `${base.pathname}${base.search}`
    return { hostname: base.hostname, port: base.port, path }
  }
}

/** The Location of an answer, which must have one. */
export function locationOf(answer: Answer): string {
  const location = answer.headers['location']
  assert.ok(location, 'an answer without Location')
  return location
}

function uploadHeaders(range: string | undefined): Readonly<Record<string, string>> {
  return { 'Content-Type': octets, ...(range === undefined ? {} : { 'Content-Range': range }) }
}

// A GET without a body announces none, as clients do.
function lengthOf(method: string, body: Uint8Array): Readonly<Record<string, string>> {
  const isSilent = body.length === 0 && (method === 'GET' || method === 'HEAD')
  return isSilent ? {} : { 'Content-Length': String(body.length) }
}
