// Whether a provider still stands by a token that it signed: asked of it, and believed for a while.

import { readFile } from 'node:fs/promises'
import { type Agent, request } from 'undici'
import type { OciError } from '../../oci/error.ts'
import { parseStrictJson } from '../../oci/strict-json.ts'
import { CredentialCache } from '../credential-cache.ts'
import type { OidcConfig, OidcLog } from './contract.ts'
import { openAgent, parseProviderUrl, readBody } from './fetch-json.ts'
import { reasonOf, refuse, unavailable } from './refusal.ts'

/** What of a provider's configuration says how to ask. */
export interface IntrospectorOptions {
  readonly config: OidcConfig
  readonly url: string
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly log: OidcLog
}

export interface Introspected {
  readonly active: boolean
  /** Monotonic, in ms: the answer is believed until then. */
  readonly untilMs: number
}

interface Connection {
  readonly agent: Agent
  readonly openedAtMs: number
}

const answersMax = 8192
// Questions under way. More than these wait for a provider that does not keep up.
const questionsMax = 256
const connectionsMax = 8
const bodyBytesMax = 64 * 1024
const depthMax = 16
// Files of the configuration may be renewed in place.
const reopenAfterMs = 60_000
const retryAfterMs = 2000

/** One per provider that has an endpoint. Source: RFC 7662. */
export class Introspector {
  readonly #options: IntrospectorOptions
  readonly #answers: CredentialCache<Introspected>
  readonly #underWay = new Map<string, Promise<Introspected>>()
  readonly #aborts = new Set<AbortController>()
  #connection: Promise<Connection> | undefined
  #isClosed = false
  #isFailing = false
  #asked = 0
  #failed = 0

  constructor(options: IntrospectorOptions) {
    this.#options = options
    this.#answers = new CredentialCache({ entriesMax: answersMax, now: options.elapsed })
  }

  get counts(): { readonly introspections: number; readonly failedIntrospections: number } {
    return { introspections: this.#asked, failedIntrospections: this.#failed }
  }

  /**
   * Resolves to how long the token may be taken for good, in ms; above 0.
   * Errors: OciError UNAUTHORIZED where it does not count any more, UNAVAILABLE where nobody says.
   */
  async check(token: string): Promise<number> {
    const { config, elapsed } = this.#options
    const key = this.#answers.keyOf(token)
    const { active, untilMs } = this.#answers.get(key) ?? (await this.#askOnce(key, token))
    if (!active) throw refuse('inactive', config.name)
    return Math.max(1, untilMs - elapsed())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const reason = new Error('the configuration is no longer in force')
    for (const abort of this.#aborts) abort.abort(reason)
    await Promise.allSettled(this.#underWay.values())
    const connection = await this.#connection?.catch(() => undefined)
    await connection?.agent.destroy().catch(() => undefined)
  }

  // Single flight: one token on many connections is one question.
  #askOnce(key: string, token: string): Promise<Introspected> {
    const before = this.#underWay.get(key)
    if (before !== undefined) return before
    if (this.#underWay.size >= questionsMax) throw this.#unavailable('too many questions wait')
    const { config, elapsed } = this.#options
    const abort = new AbortController()
    this.#aborts.add(abort)
    const asking = this.#ask(token, abort)
      .then((active) => {
        const ttlMs = config.introspectionTtlMs
        const answer = { active, untilMs: elapsed() + ttlMs }
        this.#answers.set(key, answer, ttlMs)
        this.#succeed()
        return answer
      })
      .catch((error: unknown) => {
        throw this.#fail(error)
      })
      .finally(() => {
        this.#underWay.delete(key)
        this.#aborts.delete(abort)
      })
    this.#underWay.set(key, asking)
    return asking
  }

  async #ask(token: string, abort: AbortController): Promise<boolean> {
    const { config, url } = this.#options
    const { httpTimeoutMs: timeoutMs } = config
    this.#asked += 1
    const endpoint = parseProviderUrl(url)
    const late = (): void => abort.abort(new Error(`no answer of ${url} in ${timeoutMs} ms`))
    const timer = setTimeout(late, timeoutMs).unref()
    try {
      const { agent } = await this.#connect()
      return await askOnce(agent, endpoint, token, config, abort.signal)
    } finally {
      clearTimeout(timer)
    }
  }

  // Connections are kept, since a handshake costs more than the question.
  #connect(): Promise<Connection> {
    const opened = this.#connection
    const connection =
      opened === undefined
        ? this.#open()
        : opened.then((known) => {
            const isOld = this.#options.elapsed() - known.openedAtMs > reopenAfterMs
            if (!isOld || this.#connection !== opened) return known
            // Questions under way are answered first.
            known.agent.close().catch(() => undefined)
            return this.#open()
          })
    this.#connection = connection
    return connection
  }

  async #open(): Promise<Connection> {
    const { config, elapsed } = this.#options
    const openedAtMs = elapsed()
    const paths = [config.serverCaBundle, config.clientCertificate, config.clientPrivateKey]
    const [ca, cert, key] = await Promise.all(
      paths.map((path) => (path === undefined ? undefined : readFile(path, 'utf8'))),
    )
    const passphrase = config.clientPrivateKeyPassphrase?.reveal()
    const agent = openAgent({
      timeoutMs: config.httpTimeoutMs,
      connections: connectionsMax,
      tls: { ca, cert, key, passphrase },
    })
    return { agent, openedAtMs }
  }

  #succeed(): void {
    if (!this.#isFailing) return
    this.#isFailing = false
    const { config, log } = this.#options
    log.info({ provider: config.name }, 'a provider answers about tokens again')
  }

  #fail(error: unknown): OciError {
    this.#failed += 1
    // The next question is asked with the files as they are then.
    const connection = this.#connection
    this.#connection = undefined
    connection?.then(
      ({ agent }) => agent.close().catch(() => undefined),
      () => undefined,
    )
    const { config, log } = this.#options
    const reason = reasonOf(error)
    if (!this.#isFailing && !this.#isClosed) {
      log.warn({ provider: config.name, reason }, 'a provider does not answer about tokens')
    }
    this.#isFailing = true
    return this.#unavailable(reason)
  }

  #unavailable(reason: string): OciError {
    const { name } = this.#options.config
    const what = `the identity provider ${name} does not say whether a token counts: ${reason}`
    return unavailable(what, retryAfterMs)
  }
}

async function askOnce(
  agent: Agent,
  endpoint: URL,
  token: string,
  config: OidcConfig,
  signal: AbortSignal,
): Promise<boolean> {
  const { statusCode, body } = await request(endpoint, {
    dispatcher: agent,
    method: 'POST',
    signal,
    headers: {
      accept: 'application/json',
      'accept-encoding': 'identity',
      'content-type': 'application/x-www-form-urlencoded',
      'user-agent': 'keelson',
      ...credentialOf(config),
    },
    body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
  })
  if (statusCode !== 200) {
    // Ending the body early is an error to its stream, and to nobody else.
    body.on('error', () => undefined).destroy()
    throw new Error(`${endpoint.href} answers ${statusCode}`)
  }
  const parsed = parseStrictJson(await readBody(body, endpoint, bodyBytesMax), { depthMax })
  if (!parsed.ok) throw new Error(`the answer of ${endpoint.href} ${parsed.reason}`)
  const { active } = (parsed.value ?? {}) as { readonly active?: unknown }
  if (typeof active !== 'boolean') throw new Error(`${endpoint.href} does not say active`)
  return active
}

// Source: RFC 6749 §2.3.1: both are form-encoded before they are joined.
function credentialOf(config: OidcConfig): Readonly<Record<string, string>> {
  const { introspectionClientId: id, introspectionClientSecret: secret } = config
  if (id === undefined || secret === undefined) return {}
  const pair = [id, secret.reveal()].map(formEncoded).join(':')
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}
