// Answers for a running Keelson in black-box tests: the built product on a free loopback port with
// a root directory of its own.
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Exit, startDaemon } from './daemon.ts'

export interface ServerOptions {
  /** In place of the base configuration, which has its stores in `rootDir` and allows everything. */
  readonly base?: string
  /** Merged over the base configuration as a second `-c` file. */
  readonly toml?: string
  /** Kept after the end, so that a next server can take it over; default: a temporary one. */
  readonly rootDir?: string
  readonly env?: NodeJS.ProcessEnv
  /** Put before the product's command line, for example `['strace', '-f', '-o', file]`. */
  readonly wrap?: readonly string[]
  readonly readyTimeoutMs?: number
}

export interface Server {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  readonly url: string
  /** `127.0.0.1:PORT`, as image references have it. */
  readonly host: string
  readonly port: number
  /** The product's own process, not that of a `wrap`. */
  readonly pid: number
  readonly rootDir: string
  readonly log: string[]
  readonly exited: Promise<Exit>
  /** SIGTERM; SIGKILL when it has not ended after 15 s, which shows as `code: null`. */
  stop(): Promise<Exit>
  /** SIGKILL to the product and its children, without waiting; `exited` tells when it is gone. */
  kill(): void
}

interface Serving {
  readonly port: number
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

function productCommand(): readonly string[] {
  const named = process.env['KEELSON_BIN'] ?? join(projectRoot, 'bin', 'keelson')
  return named.endsWith('.js') ? [process.execPath, '--enable-source-maps', named] : [named]
}

function baseConfig(rootDir: string): string {
  return [
    '[server]',
    'bind_address = "127.0.0.1"',
    'port = 0',
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
  const { msg, port, pid } = entry as Readonly<Record<string, unknown>>
  if (msg !== 'serving' || typeof port !== 'number') return undefined
  return { port, pid: typeof pid === 'number' ? pid : undefined }
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
  await writeFile(baseFile, options.base ?? baseConfig(rootDir))
  const configArgs = ['-c', baseFile]
  if (options.toml !== undefined) {
    const extraFile = join(workDir, 'extra.toml')
    await writeFile(extraFile, options.toml)
    configArgs.push('-c', extraFile)
  }
  const line = [...(options.wrap ?? []), ...productCommand(), ...configArgs, 'server']
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
  const host = `127.0.0.1:${daemon.ready.port}`
  const { port } = daemon.ready
  const { log, kill } = daemon
  return { url: `http://${host}`, host, port, pid, rootDir, log, exited, stop, kill }
}

function signalIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch {
    // It ended by itself; `exited` carries how.
  }
}
