// One client of a bucket: the only user of the SDK. Each request is tried a bounded number of times, each attempt
// for a bounded time.

import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { CircuitBreaker, type Pass } from '../outbound/circuit-breaker.ts'
import type { S3Attempt, S3Connection, S3Credentials } from './contract.ts'
import { encryptWith } from './encryption.ts'
import { leftAlone, S3Fault, s3Fault, timeoutFault } from './fault.ts'

// Between attempts: up to 100 ms after the first, doubled each time, at random so that many do not come at once.
const backOffMs = 100
const backOffMsMax = 5_000

export interface S3Options {
  /** Told of each attempt; must not throw. */
  readonly onAttempt?: (attempt: S3Attempt) => void
  /** From 0 to 1; for the pause between attempts. */
  readonly random?: () => number
  /** Monotonic, in ms. */
  readonly now?: () => number
  /**
   * Another client of the same bucket, whose breaker it goes by. Its own time-outs are not told to that: they may come of
   * clients that keep all its connections.
   */
  readonly beside?: S3Bucket
}

/** What the SDK sends: a command of it. */
export type Send<Output> = (client: S3Client, signal: AbortSignal) => Promise<Output>

export interface CallOptions {
  /** Ends it at once. */
  readonly signal?: AbortSignal | undefined
  /** What an attempt may take longer than others, for the bytes that it moves. */
  readonly extraMs?: number
  /** In place of that of the connection. */
  readonly attemptsMax?: number
  /** Sent again only where the answer says that nothing was done: an attempt without one may happen late. */
  readonly isOnce?: boolean
}

interface AttemptOptions {
  readonly isRetry: boolean
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number
}

export class S3Bucket {
  readonly connection: S3Connection
  readonly #client: S3Client
  readonly #onAttempt: (attempt: S3Attempt) => void
  readonly #random: () => number
  readonly #now: () => number
  readonly #breaker: CircuitBreaker | undefined
  readonly #beside: S3Bucket | undefined
  #credentials: S3Credentials | undefined
  /** What its breaker has become since the last attempt was told. */
  #circuit: S3Attempt['circuit']
  #isLeftAlone = false
  /** Of the last fault, for those who are refused. */
  #lastFault = ''

  constructor(connection: S3Connection, options: S3Options = {}) {
    const { onAttempt = () => undefined, random = Math.random, now, beside } = options
    this.connection = connection
    this.#credentials = connection.credentials
    this.#onAttempt = onAttempt
    this.#random = random
    this.#now = now ?? (() => performance.now())
    const { breaker } = connection
    const onChange = (state: 'closed' | 'open' | 'half-open'): void => this.#changed(state)
    this.#beside = beside
    this.#breaker =
      beside === undefined
        ? breaker && new CircuitBreaker(breaker, this.#now, onChange, random)
        : beside.#breaker
    this.#client = this.#open(connection)
    if (connection.encryption !== undefined) encryptWith(this.#client, connection.encryption)
  }

  /** In place of those that it was opened with, which may expire. */
  renew(credentials: S3Credentials): void {
    this.#credentials = credentials
  }

  /** Those that requests are signed with at the moment. Errors: S3Fault 'unavailable' where there are none. */
  async credentials(): Promise<S3Credentials> {
    try {
      const { accessKeyId, secretAccessKey, sessionToken, expiration } =
        await this.#client.config.credentials()
      return {
        ...{ accessKeyId, secretAccessKey },
        ...(sessionToken === undefined ? {} : { sessionToken }),
        ...(expiration === undefined ? {} : { expiresAtMs: expiration.getTime() }),
      }
    } catch (cause) {
      throw s3Fault('look for credentials of S3', cause)
    }
  }

  /**
   * Send a command until it succeeds, is refused for good, or `attemptsMax` is reached. `operation`: for people and metrics, such as 'PutObject'.
   * Errors: S3Fault.
   */
  async call<Output>(
    operation: string,
    send: Send<Output>,
    how: CallOptions = {},
  ): Promise<Output> {
    const { signal, extraMs = 0, attemptsMax = this.connection.attemptsMax, isOnce = false } = how
    const { attemptTimeoutMs } = this.connection
    const timeoutMs = attemptTimeoutMs + extraMs
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(operation, send, { isRetry: attempt > 1, signal, timeoutMs })
      } catch (cause) {
        const fault = s3Fault(operation, cause)
        const mayRetry = fault.mayRetry && (!isOnce || fault.result === 'throttled')
        if (!mayRetry || attempt >= attemptsMax || signal?.aborted) throw fault
        await this.backOff(attempt, signal)
      }
    }
  }

  /** Wait after so many attempts that failed. Errors: S3Fault where `signal` ends it. */
  async backOff(attempts: number, signal?: AbortSignal): Promise<void> {
    const most = Math.min(backOffMsMax, backOffMs * 2 ** (attempts - 1))
    const ms = Math.ceil(most * (0.5 + this.#random() / 2))
    try {
      await pause(ms, undefined, signal === undefined ? {} : { signal })
    } catch {
      throw aborted('wait')
    }
  }

  /** By so much the clock of the bucket is ahead, as far as answers have told. */
  get clockOffsetMs(): number {
    return this.#client.config.systemClockOffset
  }

  /** Of the bucket itself. `endpoint`: in place of that of the connection. Nothing is asked. */
  urlFor(endpoint: string | undefined = this.connection.endpoint): URL {
    const { region, bucket, pathStyle } = this.connection
    return this.#client.config.endpointProvider({
      ...{ Bucket: bucket, Region: region, ForcePathStyle: pathStyle },
      ...{ UseFIPS: false, UseDualStack: false, Accelerate: false },
      ...(endpoint === undefined ? {} : { Endpoint: endpoint }),
    }).url
  }

  close(): void {
    this.#client.destroy()
  }

  async #attempt<Output>(
    operation: string,
    send: Send<Output>,
    { isRetry, signal, timeoutMs }: AttemptOptions,
  ): Promise<Output> {
    const from = this.#now()
    const tell = (result: S3Attempt['result']): void => {
      const circuit = this.#circuit
      this.#circuit = undefined
      const more = circuit === undefined ? {} : { circuit }
      this.#onAttempt({ operation, result, durationMs: this.#now() - from, isRetry, ...more })
    }
    if (signal?.aborted) throw aborted(operation)
    const pass = this.#enter(operation)
    const ending = new AbortController()
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      ending.abort()
    }, timeoutMs)
    const onAbort = (): void => ending.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const output = await send(this.#client, ending.signal)
      this.#breaker?.succeed(pass)
      tell('ok')
      return output
    } catch (cause) {
      const fault = isLate
        ? timeoutFault(operation, timeoutMs)
        : signal?.aborted
          ? aborted(operation)
          : s3Fault(operation, cause)
      if (isLate && this.#beside !== undefined) this.#breaker?.leave(pass)
      else (this.#beside ?? this).#judge(fault, pass)
      tell(fault.result)
      throw fault
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Errors: S3Fault where the bucket is left alone. */
  #enter(operation: string): Pass {
    if (this.#breaker === undefined) return 0 as Pass
    const pass = this.#breaker.enter()
    if (pass === undefined) throw leftAlone(operation, (this.#beside ?? this).#lastFault)
    return pass
  }

  #judge(fault: S3Fault, pass: Pass): void {
    if (fault.says === 'well') this.#breaker?.succeed(pass)
    else if (fault.says === 'nothing') this.#breaker?.leave(pass)
    else {
      this.#lastFault = fault.code
      this.#breaker?.fail(pass)
    }
  }

  #changed(state: 'closed' | 'open' | 'half-open'): void {
    if (state === 'closed') this.#circuit = 'closed'
    else if (state === 'open' && !this.#isLeftAlone) this.#circuit = 'opened'
    this.#isLeftAlone = state !== 'closed'
  }

  #open(connection: S3Connection): S3Client {
    const { endpoint, region, pathStyle, ca, connectionsMax, attemptTimeoutMs } = connection
    const agent = { keepAlive: true, maxSockets: connectionsMax }
    // Which Node.js the server runs on is looked after elsewhere.
    process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
    const own = async (): Promise<SignedBy> => signedBy(this.#credentials)
    return new S3Client({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      forcePathStyle: pathStyle,
      // Only what the configuration says: the threads see no environment.
      ignoreConfiguredEndpointUrls: true,
      useDualstackEndpoint: false,
      useFipsEndpoint: false,
      // Pieces bring their own. Of the parts of a multipart upload some servers want them at its end again.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      ...(connection.credentials === undefined ? {} : { credentials: own }),
      // Tried again here, where it is counted and bounded.
      maxAttempts: 1,
      // Another region than the configured one is a mistake to be told, not to be followed.
      followRegionRedirects: false,
      // What is read is held against its digest, end to end; a stream around the body would keep its connection open.
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: attemptTimeoutMs,
        httpAgent: new HttpAgent(agent),
        httpsAgent: new HttpsAgent({ ...agent, ...(ca === undefined ? {} : { ca }) }),
        // Waiting for a free connection is bounded by the attempt.
        socketAcquisitionWarningTimeout: 2_147_483_647,
      },
      // The SDK speaks to the console otherwise.
      logger: silent,
    })
  }
}

interface SignedBy {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

function signedBy(credentials: S3Credentials | undefined): SignedBy {
  if (credentials === undefined) throw new Error('there are no credentials')
  const { expiresAtMs, ...keys } = credentials
  return { ...keys, ...(expiresAtMs === undefined ? {} : { expiration: new Date(expiresAtMs) }) }
}

function aborted(operation: string): S3Fault {
  return new S3Fault('unavailable', 'Aborted', `${operation}: was stopped`, {
    ...{ mayRetry: false, result: 'fault', says: 'nothing' },
  })
}

const ignore = (): void => undefined
const silent = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }
