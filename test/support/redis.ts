// Answers for a real Redis in tests: redis-server on loopback, plain, with TLS and a user, as a node of a
// cluster, or watched by a sentinel. It keeps nothing on disk, and comes back on the same port.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { type Daemon, startDaemon } from './daemon.ts'
import type { Pki } from './pki.ts'
import { run } from './run.ts'
import { findTool, needs } from './tools.ts'

// Below those that the kernel gives to connections and to whoever asks for any port, so that none of these takes it
// before it is used; and so is the bus of a cluster's node, 10,000 above.
const portMin = 10_000
const portMax = 22_000

/** Options for `test()`: skipped where redis-server is absent. */
export const needsRedis: { readonly skip: string | false } = needs('redis-server', 'redis-cli')

export interface RedisOptions {
  /** Where it works; the caller removes it. */
  readonly dir: string
  /** Then it speaks TLS alone, and asks for a certificate of the PKI's client CA. */
  readonly pki?: Pki
  /** Further arguments. */
  readonly args?: readonly string[]
}

export class RedisServer {
  readonly port: number
  readonly #options: RedisOptions
  #daemon: Daemon<true> | undefined

  private constructor(port: number, options: RedisOptions) {
    this.port = port
    this.#options = options
  }

  static async start(options: RedisOptions): Promise<RedisServer> {
    const redis = new RedisServer(await freePort(), options)
    await redis.start()
    return redis
  }

  get url(): string {
    return this.#options.pki === undefined
      ? `redis://127.0.0.1:${this.port}`
      : `rediss://localhost:${this.port}`
  }

  async start(): Promise<void> {
    const { dir, pki, args = [] } = this.#options
    const port = String(this.port)
    const own = pki === undefined ? ['--port', port] : ['--port', '0', '--tls-port', port]
    this.#daemon = await startDaemon<true>({
      command: findTool('redis-server') ?? 'redis-server',
      args: [
        ...own,
        ...(pki === undefined ? [] : tlsArguments(pki)),
        ...['--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no'],
        ...args,
      ],
      onLine: (line) => (line.includes('Ready to accept connections') ? true : undefined),
    })
  }

  /** What redis-cli prints. */
  cli(...args: readonly string[]): Promise<string> {
    return this.cliWith('', ...args)
  }

  /** As `cli`, with `last` behind the arguments: it may be as long as it likes. */
  async cliWith(last: string, ...args: readonly string[]): Promise<string> {
    const { pki } = this.#options
    const tls =
      pki === undefined
        ? []
        : [
            ...['--tls', '--cacert', pki.serverCa.certificateFile],
            ...['--cert', pki.client.certificateFile, '--key', pki.client.keyFile],
          ]
    const own = ['-p', String(this.port), ...tls, ...(last === '' ? [] : ['-x'])]
    return run('redis-cli', [...own, ...args], { input: last })
  }

  /** SIGSTOP: it takes connections, as the kernel does, and says nothing. */
  pause(): void {
    process.kill(this.#running.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.#running.pid, 'SIGCONT')
  }

  /** SIGKILL: it forgets everything. `start` brings an empty one back. */
  async kill(): Promise<void> {
    this.#running.kill()
    await this.#running.exited
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop()
  }

  get #running(): Daemon<true> {
    if (this.#daemon === undefined) throw new Error('it does not run')
    return this.#daemon
  }
}

function tlsArguments(pki: Pki): readonly string[] {
  return [
    ...['--tls-cert-file', pki.server.bundleFile, '--tls-key-file', pki.server.keyFile],
    ...['--tls-ca-cert-file', pki.clientCa.certificateFile, '--tls-auth-clients', 'yes'],
  ]
}

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portMin, portMax)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
