// One request to another registry: its redirects followed with care, its hiccups waited out.

import { type Agent, type Dispatcher, request } from 'undici'
import { isLoopbackHost } from '../../http/loopback.ts'
import { RemoteError } from './contract.ts'

export type RemoteAnswer = Dispatcher.ResponseData

export interface Sending {
  readonly agent: Agent
  /** For messages. */
  readonly name: string
  readonly timeoutMs: number
  readonly allowPlainHttp: boolean
  readonly wait: (ms: number, signal: AbortSignal | undefined) => Promise<void>
}

export interface Request {
  readonly method: 'GET' | 'HEAD'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

const redirectsMax = 5
const attemptsMax = 4
const firstWaitMs = 500
const waitMsMax = 60_000
// A list may be long; one piece every now and then is no answer.
const wholeTimes = 4
const discardedBytesMax = 64 * 1024
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/**
 * The answer that is not a redirect; its body has to be taken or ended. 429, 502, 503 and 504, and what
 * fails on the way, are tried again. Errors: RemoteError 'unavailable', 'malformed'; the signal's reason.
 */
export async function send(sending: Sending, wanted: Request): Promise<RemoteAnswer> {
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === attemptsMax
    let waitMs = firstWaitMs * 4 ** (attempt - 1)
    try {
      const answer = await follow(sending, wanted)
      if (isLast || !isBusy(answer.statusCode)) return answer
      waitMs = retryAfterMs(answer.headers['retry-after']) ?? waitMs
      await discard(answer, sending.timeoutMs)
    } catch (error) {
      wanted.signal?.throwIfAborted()
      if (error instanceof RemoteError && error.problem !== 'unavailable') throw error
      if (isLast) throw unavailable(sending.name, error)
    }
    await sending.wait(Math.min(waitMs, waitMsMax), wanted.signal)
  }
}

/** What went wrong on the way, without a secret: messages of undici hold none. */
export function unavailable(name: string, error: unknown): RemoteError {
  if (error instanceof RemoteError) return error
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
  const message = error instanceof Error ? error.message : 'failed'
  return new RemoteError('unavailable', `${name}: ${message || 'no connection'}${code}`, error)
}

async function follow(sending: Sending, wanted: Request): Promise<RemoteAnswer> {
  const { name, timeoutMs } = sending
  let { url, headers } = wanted
  for (let redirects = 0; ; redirects++) {
    const answer = await head(sending, { ...wanted, url, headers })
    if (!redirectStatuses.has(answer.statusCode)) return answer
    await discard(answer, timeoutMs)
    const next = redirected(sending, url, answer.headers['location'])
    if (redirects === redirectsMax) {
      throw new RemoteError('malformed', `${name}: more than ${redirectsMax} redirects in a row`)
    }
    // A store behind the registry must not see what only the registry may.
    if (next.origin !== url.origin) headers = withoutCredentials(headers)
    url = next
  }
}

// Its time is that of one connection and one head: interim answers put off undici's own for ever.
async function head(
  { agent, timeoutMs }: Sending,
  { method, url, headers, signal }: Request,
): Promise<RemoteAnswer> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new Error('no answer in time')), 2 * timeoutMs)
  try {
    return await request(url, {
      ...{ method, headers, dispatcher: agent },
      ...{ headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
      signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
    })
  } finally {
    clearTimeout(timer)
  }
}

/**
 * A body that is short, or ought to be.
 * Errors: RemoteError 'malformed' where it is longer, 'unavailable' where it breaks off or takes too long.
 */
export async function readWhole(
  { name, timeoutMs }: Sending,
  { body }: RemoteAnswer,
  bytesMax: number,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  const slow = new Error('it came too slowly')
  const timer = setTimeout(() => body.destroy(slow), wholeTimes * timeoutMs)
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > bytesMax) break
      chunks.push(chunk)
    }
  } catch (error) {
    const why = error === slow ? slow.message : 'it broke off'
    throw new RemoteError('unavailable', `${name}: no whole answer, ${why}`, error)
  } finally {
    clearTimeout(timer)
  }
  if (size > bytesMax) {
    throw new RemoteError('malformed', `${name}: an answer of more than ${bytesMax} bytes`)
  }
  return Buffer.concat(chunks)
}

/** Lets go of a body that nobody wants, and of its connection where it is long. Never rejects. */
export async function discard({ body }: RemoteAnswer, timeoutMs: number): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs)
  await body.dump({ limit: discardedBytesMax, signal }).catch(() => {
    body.on('error', () => {}).destroy()
  })
}

function redirected(
  { name, allowPlainHttp }: Sending,
  from: URL,
  location: string | string[] | undefined,
): URL {
  if (typeof location !== 'string' || !URL.canParse(location, from.href)) {
    throw new RemoteError('malformed', `${name}: a redirect that leads nowhere`)
  }
  const to = new URL(location, from)
  const isPlain = to.protocol === 'http:'
  if (!isPlain && to.protocol !== 'https:') {
    throw new RemoteError('malformed', `${name}: a redirect to ${to.protocol}`)
  }
  const mayBePlain = allowPlainHttp || (from.protocol === 'http:' && isLoopbackHost(to.hostname))
  if (isPlain && !mayBePlain) {
    throw new RemoteError('malformed', `${name}: a redirect from TLS to plain HTTP`)
  }
  return to
}

function withoutCredentials(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { authorization: _, ...rest } = headers
  return rest
}

function isBusy(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504
}

/** Source: RFC 9110 §10.2.3; a date is not understood, and waits as long as without one. */
function retryAfterMs(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : undefined
}
