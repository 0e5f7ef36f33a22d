// One JSON document over HTTP, from a server that may hang, ramble or send us elsewhere.

import { Agent, request } from 'undici'
import { isLoopbackHost } from '../../http/loopback.ts'
import { parseStrictJson } from '../../oci/strict-json.ts'

/** What the connections of one refresh have in common. */
export interface Session {
  readonly agent: Agent
  readonly timeoutMs: number
  /** Aborts whatever is under way. */
  readonly abort: AbortController
  /** Goes to `origin` and to no other. */
  readonly bearer: { readonly token: string; readonly origin: string } | undefined
}

export interface AgentOptions {
  readonly timeoutMs: number
  /** To one origin, at a time. */
  readonly connections: number
  /** PEM each; the passphrase is the key's. */
  readonly tls: {
    readonly ca: string | undefined
    readonly cert: string | undefined
    readonly key: string | undefined
    readonly passphrase: string | undefined
  }
}

export interface SessionOptions extends Omit<AgentOptions, 'connections'> {
  readonly abort: AbortController
  readonly bearer: Session['bearer']
}

export interface Fetched {
  readonly value: unknown
  /** By the server's clock, in ms since the epoch; undefined where it did not say. */
  readonly serverNowMs: number | undefined
}

const bodyBytesMax = 512 * 1024
const redirectsMax = 3
const depthMax = 16
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

// Kubernetes answers 406 where its own type of key sets is not asked for; and a body that is packed could
// unpack to any size.
const asks = {
  accept: 'application/json, application/jwk-set+json, */*;q=0.5',
  'accept-encoding': 'identity',
  'user-agent': 'keelson',
} as const

/** The caller ends it by `agent.destroy()`. */
export function openSession({ abort, bearer, ...options }: SessionOptions): Session {
  const agent = openAgent({ ...options, connections: 1 })
  return { agent, timeoutMs: options.timeoutMs, abort, bearer }
}

/** Connections to a provider. The caller ends them. */
export function openAgent({ timeoutMs, connections, tls }: AgentOptions): Agent {
  const { ca, cert, key, passphrase } = tls
  return new Agent({
    connect: {
      timeout: timeoutMs,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(passphrase === undefined ? {} : { passphrase }),
    },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connections,
    pipelining: 1,
  })
}

/**
 * The text as a URL, if a secret may be sent there: HTTPS, or HTTP to this very host.
 * Errors: an Error that says what is wrong.
 */
export function parseProviderUrl(text: string): URL {
  if (!URL.canParse(text)) throw new Error(`expected a URL; found ${JSON.stringify(text)}`)
  const url = new URL(text)
  const isSafe =
    url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackHost(url.hostname))
  if (!isSafe) throw new Error(`expected an https URL; found ${url.origin}`)
  if (url.username !== '' || url.password !== '') throw new Error('expected a URL without a user')
  return url
}

/**
 * Follows redirects within one origin.
 * Limits: 512 KiB, 3 redirects, `timeoutMs` in all. Errors: an Error fit for the log.
 */
export async function fetchJson(session: Session, url: URL): Promise<Fetched> {
  const { abort, timeoutMs } = session
  const late = (): void => abort.abort(new Error(`no answer of ${url.origin} in ${timeoutMs} ms`))
  const timer = setTimeout(late, timeoutMs)
  timer.unref()
  try {
    let at = url
    for (let hops = 0; hops <= redirectsMax; hops++) {
      const answer = await fetchOnce(session, at)
      if (!(answer instanceof URL)) return answer
      if (answer.origin !== url.origin) {
        throw new Error(`${at.href} redirects to another origin, ${answer.origin}`)
      }
      at = answer
    }
    throw new Error(`${url.href} redirects more than ${redirectsMax} times`)
  } finally {
    clearTimeout(timer)
  }
}

async function fetchOnce(session: Session, url: URL): Promise<Fetched | URL> {
  const { agent, abort, bearer } = session
  const headers: Record<string, string> = { ...asks }
  if (bearer?.origin === url.origin) headers['authorization'] = `Bearer ${bearer.token}`
  const {
    statusCode,
    headers: got,
    body,
  } = await request(url, {
    dispatcher: agent,
    signal: abort.signal,
    headers,
  })
  if (statusCode !== 200) {
    // Ending the body early is an error to its stream, and to nobody else.
    body.on('error', () => undefined).destroy()
    const location = got['location']
    if (redirects.has(statusCode) && typeof location === 'string') {
      if (URL.canParse(location, url.href)) return new URL(location, url)
    }
    throw new Error(`${url.href} answers ${statusCode}`)
  }
  const parsed = parseStrictJson(await readBody(body, url, bodyBytesMax), { depthMax })
  if (!parsed.ok) throw new Error(`the answer of ${url.href} ${parsed.reason}`)
  return { value: parsed.value, serverNowMs: serverNow(got['date'], got['age']) }
}

/** All of an answer. Errors: an Error where it is longer than `bytesMax`. */
export async function readBody(
  body: AsyncIterable<Buffer>,
  url: URL,
  bytesMax: number,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.byteLength
    if (size > bytesMax) throw new Error(`${url.href} sends more than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// A cache on the way passes an old date on, and says how old.
function serverNow(date: unknown, age: unknown): number | undefined {
  const ms = typeof date === 'string' ? Date.parse(date) : Number.NaN
  if (Number.isNaN(ms)) return undefined
  const seconds = typeof age === 'string' && /^\d{1,9}$/.test(age) ? Number(age) : 0
  return ms + seconds * 1000
}
