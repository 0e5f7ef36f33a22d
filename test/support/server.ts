// Answers for a running Keelson in black-box tests: the built product on free loopback ports with a
// root directory of its own.
import { existsSync } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Exit, startDaemon } from './daemon.ts'

export interface ServerOptions {
  /** In place of the base configuration, which has its stores in `rootDir` and allows everything. */
  readonly base?: string
  /**
   * In place of the one plain listener: a `[[server.listener]]` with these lines each, on a free
   * loopback port where they name no other place.
   */
  readonly listeners?: readonly string[]
  /** Merged over the base configuration as a second `-c` file. */
  readonly toml?: string
  /** Kept after the end, so that a next server can take it over; default: a temporary one. */
  readonly rootDir?: string
  readonly env?: NodeJS.ProcessEnv
  /** Put before the product's command line, for example `['strace', '-f', '-o', file]`. */
  readonly wrap?: readonly string[]
  /** The product's command line, in place of the build at hand. */
  readonly program?: readonly string[]
  /** Who owns the configuration and may write beside it, for a `wrap` that becomes another user. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  readonly readyTimeoutMs?: number
  /** `health.check_host`; default false. */
  readonly checksHost?: boolean
}

/** One listening socket, as the product's log tells it; a unix socket has port 0. */
export interface ServedListener {
  readonly address: string
  readonly port: number
  readonly transport: string
  readonly tls: boolean
}

export interface Server {
  /** `http://127.0.0.1:PORT` of the first listener, without a slash at the end; `https` where it is TLS. */
  readonly url: string
  /** `127.0.0.1:PORT`, as image references have it. */
  readonly host: string
  readonly port: number
  /** In the order of the configuration. */
  readonly listeners: readonly ServedListener[]
  /** The product's own process, not that of a `wrap`. */
  readonly pid: number
  readonly rootDir: string
  /** Its `-c` file that counts last: `base` where there is no `toml`. */
  readonly configFile: string
  readonly log: string[]
  readonly exited: Promise<Exit>
  /** SIGTERM; SIGKILL when it has not ended after 15 s, which shows as `code: null`. */
  stop(): Promise<Exit>
  /** SIGKILL to the product and its children, without waiting; `exited` tells when it is gone. */
  kill(): void
}

interface Serving {
  readonly listeners: readonly [ServedListener, ...ServedListener[]]
  readonly pid: number | undefined
}

/** The project's root: the nearest folder above this file that holds `bin/keelson`. */
export const projectRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(from: string): string {
  if (existsSync(join(from, 'bin', 'keelson'))) return from
  const parent = dirname(from)
  // Builds outside the tree have no `bin` above them; they name the product by KEELSON_BIN.
  return parent === from ? process.cwd() : findRoot(parent)
}

/** The product's program; `other`, or else `KEELSON_BIN`, names another build of it. */
export function productCommand(other?: string): readonly string[] {
  const named = other ?? process.env['KEELSON_BIN'] ?? join(projectRoot, 'bin', 'keelson')
  return named.endsWith('.js') ? [process.execPath, '--enable-source-maps', named] : [named]
}

const loopback = 'bind_address = "127.0.0.1"\nport = 0\n'

function listenerConfig(lines: string): string {
  const place = /^(port|socket)\b/m.test(lines) ? '' : loopback
  return `[[server.listener]]\n${place}${lines}\n`
}

function baseConfig(rootDir: string, listeners: readonly string[] | undefined): string {
  return [
    listeners === undefined ? `[server]\n${loopback}` : listeners.map(listenerConfig).join(''),
    '[blob_store.fs]',
    `root_dir = ${JSON.stringify(rootDir)}`,
    '[global.access_policy]',
    'default = "allow"',
    '',
  ].join('\n')
}

function readServing(line: string): Serving | undefined {
  if (!line.startsWith('{') || !line.includes('"serving"')) return undefined
  const entry: unknown = JSON.parse(line)
  if (typeof entry !== 'object' || entry === null) return undefined
  const { msg, pid, others = [], ...rest } = entry as Readonly<Record<string, unknown>>
  const first = rest as unknown as ServedListener
  if (msg !== 'serving' || typeof first.port !== 'number') return undefined
  const listeners = [first, ...(others as readonly ServedListener[])].map(
    ({ address, port, transport, tls }) => ({ address, port, transport, tls }),
  ) as [ServedListener, ...ServedListener[]]
  return { listeners, pid: typeof pid === 'number' ? pid : undefined }
}

/**
 * Start the product and wait until it serves.
 * `KEELSON_BIN` names another build of it (an executable, or a `.js` entry).
 * Limits: `readyTimeoutMs`, default 30,000.
 * Errors: an Error with its last output lines if it does not come up.
 */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const workDir = await mkdtemp(join(tmpdir(), 'keelson-server-'))
  const rootDir = options.rootDir ?? join(workDir, 'data')
  const baseFile = join(workDir, 'base.toml')
  await writeFile(baseFile, options.base ?? baseConfig(rootDir, options.listeners))
  // A look at the machine at each start would cost the tests more than the starts themselves.
  const quietFile = join(workDir, 'quiet.toml')
  await writeFile(quietFile, `[health]\ncheck_host = ${options.checksHost === true}\n`)
  const configArgs = ['-c', quietFile, '-c', baseFile]
  if (options.toml !== undefined) {
    const extraFile = join(workDir, 'extra.toml')
    await writeFile(extraFile, options.toml)
    configArgs.push('-c', extraFile)
  }
  if (options.owner !== undefined) await chown(workDir, options.owner.uid, options.owner.gid)
  const program = options.program ?? productCommand()
  const line = [...(options.wrap ?? []), ...program, ...configArgs, 'server']
  const removeWorkDir = (): Promise<void> => rm(workDir, { recursive: true, force: true })
  const daemon = await startDaemon({
    command: line[0] ?? '',
    args: line.slice(1),
    env: { ...process.env, ...options.env },
    onLine: readServing,
    ...(options.readyTimeoutMs === undefined ? {} : { readyTimeoutMs: options.readyTimeoutMs }),
  }).catch(async (error: unknown) => {
    await removeWorkDir()
    throw error
  })
  const exited = daemon.exited.finally(removeWorkDir)
  const pid = options.wrap ? (daemon.ready.pid ?? daemon.pid) : daemon.pid
  const stop = async (): Promise<Exit> => {
    const timer = setTimeout(() => daemon.kill(), 15_000)
    signalIfAlive(pid)
    return exited.finally(() => clearTimeout(timer))
  }
  const { listeners } = daemon.ready
  const [{ port, tls }] = listeners
  const host = `127.0.0.1:${port}`
  const url = `${tls ? 'https' : 'http'}://${host}`
  const { log, kill } = daemon
  const configFile = configArgs.at(-1) ?? baseFile
  return { url, host, port, listeners, pid, rootDir, configFile, log, exited, stop, kill }
}

function signalIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch {
    // It ended by itself; `exited` carries how.
  }
}
