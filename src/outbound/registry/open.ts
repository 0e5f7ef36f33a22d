// A client that reads another registry. Source: distribution-spec "Pull", "Listing Tags", "Listing Referrers".

import { Agent } from 'undici'
import { isLoopbackHost } from '../../http/loopback.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseServiceUrl } from '../service-url.ts'
import {
  type RemoteBlob,
  RemoteError,
  type RemoteManifest,
  type RemoteRegistry,
  type RemoteRegistryOptions,
} from './contract.ts'
import { Login, readJson } from './login.ts'
import { nextPage } from './page.ts'
import { discard, type RemoteAnswer, readWhole, type Sending, send, unavailable } from './send.ts'

const pageLength = 1000
const pageBytesMax = 16 * 1024 * 1024
// A list that goes on for ever.
const pagesMax = 100_000
const referrersPagesMax = 1000

// Of all kinds that the field has, so that nothing is converted for us.
const manifestTypes: string = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.artifact.manifest.v1+json',
  '*/*;q=0.1',
].join(', ')

/** Nothing is asked yet. Errors: an Error that says which option is wrong, and shows no secret. */
export function openRemoteRegistry(options: RemoteRegistryOptions): RemoteRegistry {
  return new HttpRegistry(options)
}

interface Asked {
  readonly method?: 'GET' | 'HEAD'
  readonly url: URL
  readonly scope: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal | undefined
}

class HttpRegistry implements RemoteRegistry {
  readonly #options: RemoteRegistryOptions
  readonly #origin: string
  readonly #agent: Agent
  readonly #sending: Sending
  readonly #login: Login

  constructor(options: RemoteRegistryOptions) {
    const { name, auth, timeoutMs, tls, allowPlainHttp = false, wait, elapsed } = options
    const url = parseServiceUrl(name, options.url, auth !== undefined)
    const isPlain = url.protocol === 'http:'
    if (isPlain && !isLoopbackHost(url.hostname) && !allowPlainHttp) {
      throw new Error(`${name}.url: without TLS anybody on the way could change what comes`)
    }
    if (url.pathname !== '/' || url.search !== '') {
      throw new Error(`${name}.url: expected a URL without a path`)
    }
    this.#options = options
    this.#origin = url.origin
    this.#agent = new Agent({
      connections: options.connectionsMax,
      pipelining: 1,
      allowH2: false,
      connect: {
        timeout: timeoutMs,
        // Whatever the environment says of it.
        rejectUnauthorized: true,
        ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls?.key === undefined ? {} : { key: tls.key }),
        ...(tls?.passphrase === undefined ? {} : { passphrase: tls.passphrase.reveal() }),
      },
    })
    this.#sending = { agent: this.#agent, name, timeoutMs, allowPlainHttp, wait }
    this.#login = new Login(this.#sending, { url, auth, elapsed })
  }

  async *repositories(signal?: AbortSignal): AsyncGenerator<string> {
    const url = new URL(`/v2/_catalog?n=${pageLength}`, this.#origin)
    for await (const body of this.#pages({ url, scope: 'registry:catalog:*', signal })) {
      if (body === undefined) throw this.#error('absent', 'it does not list its repositories')
      yield* this.#texts(body, 'repositories')
    }
  }

  async *tags(repository: string, signal?: AbortSignal): AsyncGenerator<string> {
    const url = new URL(`/v2/${repository}/tags/list?n=${pageLength}`, this.#origin)
    for await (const body of this.#pages({ url, scope: pullScope(repository), signal })) {
      if (body !== undefined) yield* this.#texts(body, 'tags')
    }
  }

  async referrers(repository: string, subject: Digest, signal?: AbortSignal): Promise<string[]> {
    const url = new URL(`/v2/${repository}/referrers/${subject}`, this.#origin)
    const found: string[] = []
    let pages = 0
    for await (const body of this.#pages({ url, scope: pullScope(repository), signal })) {
      if (body === undefined) return this.#fallbackReferrers(repository, subject, signal)
      found.push(...digestsOf(body))
      pages += 1
      if (pages === referrersPagesMax) throw this.#error('malformed', 'too many referrers')
    }
    return found
  }

  async manifest(
    repository: string,
    reference: string,
    signal?: AbortSignal,
  ): Promise<RemoteManifest | undefined> {
    const { manifestBytesMax } = this.#options
    const url = new URL(`/v2/${repository}/manifests/${reference}`, this.#origin)
    const headers = { accept: manifestTypes, 'accept-encoding': 'identity' }
    const answer = await this.#ask({ url, scope: pullScope(repository), headers, signal })
    if (answer.statusCode === 404) return this.#none(answer)
    await this.#require(answer, [200])
    const bytes = await readWhole(this.#sending, answer, manifestBytesMax)
    const type = answer.headers['content-type']
    return { mediaType: typeof type === 'string' ? type : '', bytes }
  }

  async blob(
    repository: string,
    digest: Digest,
    { offset = 0, signal }: { readonly offset?: number; readonly signal?: AbortSignal } = {},
  ): Promise<RemoteBlob | undefined> {
    const url = new URL(`/v2/${repository}/blobs/${digest}`, this.#origin)
    const headers = {
      accept: '*/*',
      'accept-encoding': 'identity',
      ...(offset === 0 ? {} : { range: `bytes=${offset}-` }),
    }
    const answer = await this.#ask({ url, scope: pullScope(repository), headers, signal })
    if (answer.statusCode === 404) return this.#none(answer)
    await this.#require(answer, [200, 206])
    // One that has not heard of ranges sends everything again.
    const isPart = answer.statusCode === 206
    if (isPart && !startsAt(answer.headers['content-range'], offset)) {
      await discard(answer, this.#options.timeoutMs)
      throw this.#error('malformed', 'it sent another part of the blob than it was asked for')
    }
    const skipped = isPart ? 0 : offset
    const length = lengthOf(answer)
    return {
      size: length === undefined ? undefined : Math.max(0, length - skipped),
      body: bodyOf(this.#options.name, answer, skipped),
      cancel: () => void answer.body.on('error', () => {}).destroy(),
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }

  /** Each page as JSON; undefined, and nothing more, where there is no such list. */
  async *#pages(first: Asked): AsyncGenerator<Readonly<Record<string, unknown>> | undefined> {
    const { name } = this.#options
    let { url } = first
    for (let page = 0; page < pagesMax; page++) {
      const answer = await this.#ask({
        ...first,
        url,
        headers: { accept: 'application/json, */*' },
      })
      if (answer.statusCode === 404 || answer.statusCode === 405) {
        yield this.#none(answer)
        return
      }
      await this.#require(answer, [200])
      yield readJson(name, await readWhole(this.#sending, answer, pageBytesMax))
      const next = nextPage(answer.headers['link'], url)
      if (next === undefined) return
      // It is asked with our credentials.
      if (next.origin !== url.origin || next.href === url.href) {
        throw this.#error('malformed', 'a next page that leads elsewhere, or nowhere')
      }
      url = next
    }
    throw this.#error('malformed', `a list of more than ${pagesMax} pages`)
  }

  /** Source: distribution-spec "Referrers Tag Schema". */
  async #fallbackReferrers(
    repository: string,
    subject: Digest,
    signal: AbortSignal | undefined,
  ): Promise<string[]> {
    const tag = subject.replace(':', '-').slice(0, 128)
    const manifest = await this.manifest(repository, tag, signal)
    return manifest === undefined ? [] : digestsOf(readJson(this.#options.name, manifest.bytes))
  }

  async #ask(asked: Asked): Promise<RemoteAnswer> {
    const { method = 'GET', url, scope, headers, signal } = asked
    let authorization = this.#login.authorization(scope)
    // A token may have run out meanwhile, and some ask for a password before they ask for a token.
    for (let attempt = 1; ; attempt++) {
      const shown = authorization === undefined ? {} : { authorization }
      const all = { 'user-agent': 'keelson', ...headers, ...shown }
      const answer = await send(this.#sending, { method, url, headers: all, signal })
      if (answer.statusCode !== 401 || attempt === 3) return answer
      const next = await this.#login.answer(answer, scope, authorization, signal)
      if (next === undefined) return answer
      await discard(answer, this.#options.timeoutMs)
      authorization = next
    }
  }

  async #require(answer: RemoteAnswer, statuses: readonly number[]): Promise<void> {
    const { statusCode } = answer
    if (statuses.includes(statusCode)) return
    await discard(answer, this.#options.timeoutMs)
    if (statusCode === 401) {
      const what = this.#options.auth === undefined ? 'it wants credentials' : 'it refuses them'
      throw this.#error('unauthorized', what)
    }
    if (statusCode === 403) throw this.#error('denied', 'it does not allow that')
    const problem = statusCode >= 500 || statusCode === 429 ? 'unavailable' : 'malformed'
    throw this.#error(problem, `it answered ${statusCode}`)
  }

  async #none(answer: RemoteAnswer): Promise<undefined> {
    await discard(answer, this.#options.timeoutMs)
    return undefined
  }

  #texts(body: Readonly<Record<string, unknown>>, key: string): readonly string[] {
    const list = body[key]
    // Older ones say null for a repository whose tags are all gone.
    if (list === null || list === undefined) return []
    if (!Array.isArray(list)) throw this.#error('malformed', `its ${key} are no list`)
    return list.filter((item) => typeof item === 'string')
  }

  #error(problem: RemoteError['problem'], message: string): RemoteError {
    return new RemoteError(problem, `${this.#options.name}: ${message}`)
  }
}

function pullScope(repository: string): string {
  return `repository:${repository}:pull`
}

function digestsOf(body: Readonly<Record<string, unknown>>): string[] {
  const { manifests } = body
  if (!Array.isArray(manifests)) return []
  const digests = manifests.map((each: unknown) => {
    return typeof each === 'object' && each !== null && 'digest' in each ? each.digest : undefined
  })
  return digests.filter((digest) => typeof digest === 'string')
}

function startsAt(header: string | string[] | undefined, offset: number): boolean {
  return typeof header === 'string' && header.startsWith(`bytes ${offset}-`)
}

function lengthOf({ headers }: RemoteAnswer): number | undefined {
  const header = headers['content-length']
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined
}

async function* bodyOf(
  name: string,
  { body }: RemoteAnswer,
  skipped: number,
): AsyncGenerator<Uint8Array> {
  let toSkip = skipped
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (toSkip >= chunk.length) {
        toSkip -= chunk.length
        continue
      }
      yield toSkip === 0 ? chunk : chunk.subarray(toSkip)
      toSkip = 0
    }
  } catch (error) {
    throw unavailable(name, error)
  }
}
