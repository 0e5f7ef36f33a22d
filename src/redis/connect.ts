// Connections to Redis: one host, a master that sentinels name, or a cluster. The only user of the client.

import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'
import type { RedisConfig } from '../config/schema.ts'
import { readCallerTls } from '../outbound/tls-files.ts'
import type { HashPage, LinkEvents, RedisLink, ScriptLink } from './contract.ts'
import { ignoreLateErrors } from './late-errors.ts'

export interface LinkOptions {
  /** From 0 to less than 1. */
  readonly random: () => number
  readonly events: LinkEvents
  /** Whether `subscribe` will be asked for, which takes a connection of its own. True by default. */
  readonly listens?: boolean
}

const portDefault = 6379
const sentinelPortDefault = 26_379
const pageEntries = 500
const retryFirstMs = 100
const retryMaxMs = 5_000

type Client = Redis | Cluster

/**
 * Begins to connect, and waits for nothing. Errors: an Error for the operator where the files or the
 * address cannot be used; never where Redis is away.
 */
export async function connectRedis(
  config: RedisConfig,
  options: LinkOptions,
): Promise<RedisLink & ScriptLink> {
  ignoreLateErrors()
  const tls = await readCallerTls('redis', config)
  const { ca, cert, key } = tls
  const passphrase = tls.passphrase?.reveal()
  const link = new Link(config.timeoutMs, options)
  const isClosed = new URL(config.url).protocol === 'rediss:'
  const common = commonOptions(config, link)
  const secure = isClosed
    ? { tls: { ca, cert, key, passphrase, minVersion: 'TLSv1.2' as const } }
    : {}
  // A connection that listens takes no other commands.
  const client = (): Client => clientOf(config, { ...common, ...secure })
  link.use(client(), options.listens === false ? undefined : client())
  return link
}

function commonOptions(config: RedisConfig, link: Link): RedisOptions {
  const { username, password, timeoutMs } = config
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: password.reveal() }),
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    keepAlive: 30_000,
    // What cannot be sent now is found by the next comparison: nothing piles up.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
    retryStrategy: () => link.retryAfterMs(),
  }
}

function clientOf(config: RedisConfig, options: RedisOptions): Client {
  const { sentinelName, cluster, url, moreUrls } = config
  const db = Number(new URL(url).pathname.slice(1))
  const port = sentinelName === undefined ? portDefault : sentinelPortDefault
  const nodes = [url, ...moreUrls].map((each) => placeOf(each, port))
  if (cluster) {
    if (db !== 0) throw new Error('redis.url: a cluster has no databases to choose from')
    return new Cluster(nodes, clusterOptions(options))
  }
  if (sentinelName === undefined) return new Redis({ ...options, ...nodes[0], db })
  return new Redis({
    ...{ ...options, db, sentinels: nodes, name: sentinelName },
    ...(options.retryStrategy ? { sentinelRetryStrategy: options.retryStrategy } : {}),
    ...(options.commandTimeout === undefined
      ? {}
      : { sentinelCommandTimeout: options.commandTimeout }),
    ...(options.tls === undefined
      ? {}
      : { enableTLSForSentinelMode: true, sentinelTLS: options.tls }),
  })
}

function clusterOptions(options: RedisOptions): ClusterOptions {
  const { retryStrategy, connectTimeout, ...redisOptions } = options
  return {
    redisOptions: { ...redisOptions, ...(connectTimeout === undefined ? {} : { connectTimeout }) },
    enableOfflineQueue: false,
    clusterRetryStrategy: (times) => retryStrategy?.(times) ?? null,
    ...(connectTimeout === undefined ? {} : { slotsRefreshTimeout: connectTimeout }),
    // A certificate is for the name that was asked for, so no address is put in its place.
    ...(options.tls === undefined ? {} : { dnsLookup: (name, done) => done(null, name) }),
  }
}

function placeOf(
  url: string,
  portOfNone: number,
): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return { host, port: port === '' ? portOfNone : Number(port) }
}

class Link implements RedisLink, ScriptLink {
  readonly #timeoutMs: number
  readonly #options: LinkOptions
  #commands: Client | undefined
  #listener: Client | undefined
  #attempts = 0

  constructor(timeoutMs: number, options: LinkOptions) {
    this.#timeoutMs = timeoutMs
    this.#options = options
  }

  use(commands: Client, listener: Client | undefined): void {
    this.#commands = commands
    this.#listener = listener
    const { events } = this.#options
    for (const client of this.#clients) {
      // An error of the client holds the command with its arguments, passwords among them.
      client.on('error', (error: Error) => events.onFault(reasonOf(error)))
      let wasReady = false
      client.on('close', () => {
        if (wasReady) events.onFault('the connection was closed')
        wasReady = false
      })
      client.on('ready', () => {
        wasReady = true
        if (this.isReady) events.onReady()
      })
    }
    listener?.on('message', (_channel: string, message: string) => events.onMessage(message))
  }

  get isReady(): boolean {
    const clients = this.#clients
    return clients.length > 0 && clients.every(({ status }) => status === 'ready')
  }

  /** Longer with every attempt, and never at the same time as the other hosts. */
  retryAfterMs(): number {
    const { random } = this.#options
    const waitMs = Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(this.#attempts, 10))
    this.#attempts += 1
    return waitMs * (0.5 + random() / 2)
  }

  confirm(): void {
    this.#attempts = 0
  }

  async readField(key: string, field: string): Promise<string | undefined> {
    return (await this.#within(this.#sender.hget(key, field))) ?? undefined
  }

  async readPage(key: string, cursor: string): Promise<HashPage> {
    const scan = this.#sender.hscan(key, cursor, 'COUNT', pageEntries)
    const [next, flat] = await this.#within(scan)
    const pairs: (readonly [string, string])[] = []
    for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] ?? '', flat[i + 1] ?? ''])
    return { cursor: next, pairs }
  }

  async write(key: string, fields: Readonly<Record<string, string>>): Promise<void> {
    await this.#within(this.#sender.hset(key, fields))
  }

  async remove(key: string, fields: readonly string[]): Promise<void> {
    await this.#within(this.#sender.hdel(key, ...fields))
  }

  async expire(key: string, afterMs: number): Promise<void> {
    await this.#within(this.#sender.pexpire(key, Math.max(1, Math.ceil(afterMs))))
  }

  async run(script: string, keys: readonly string[], values: readonly string[]): Promise<unknown> {
    return this.#within(this.#sender.eval(script, keys.length, ...keys, ...values))
  }

  async publish(channel: string, message: string): Promise<void> {
    await this.#within(this.#sender.publish(channel, message))
  }

  async subscribe(channel: string): Promise<void> {
    if (this.#listener === undefined) throw new Error('there is no connection')
    await this.#within(this.#listener.subscribe(channel))
  }

  reset(): void {
    for (const client of this.#clients) client.disconnect(true)
  }

  close(): void {
    for (const client of this.#clients) client.disconnect()
  }

  get #clients(): readonly Client[] {
    return [this.#commands, this.#listener].filter((client) => client !== undefined)
  }

  get #sender(): Client {
    if (this.#commands === undefined) throw new Error('there is no connection')
    return this.#commands
  }

  /** The client's own bound does not hold while a cluster looks for a node. */
  async #within<T>(command: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      const message = `no answer within ${this.#timeoutMs} ms`
      timer = setTimeout(() => reject(new Error(message)), this.#timeoutMs + 50)
    })
    try {
      return await Promise.race([command, late])
    } catch (error) {
      throw new Error(reasonOf(error))
    } finally {
      clearTimeout(timer)
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const code = 'code' in error ? ` (${String(error.code)})` : ''
  // Several addresses of a name were tried: the message of that is empty.
  return error.message === '' ? `no connection${code}` : error.message
}
