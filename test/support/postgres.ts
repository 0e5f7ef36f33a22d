// Answers for a real PostgreSQL in tests: a server of its own, on a socket in its own folder, with as many
// empty databases as asked for.
import { randomUUID } from 'node:crypto'
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import type { Pki } from './pki.ts'
import { freePort } from './redis.ts'
import { run } from './run.ts'
import { findTool, needsThat } from './tools.ts'

const startMsMax = 30_000
const stillInUse = 'pre-existing shared memory block'
const versionsFolder = '/usr/lib/postgresql'

/** Debian keeps the server's programs off PATH, by version. */
async function programsFolder(): Promise<string | undefined> {
  const versions = await readdir(versionsFolder).catch(() => [])
  const newest = versions.map(Number).sort((a, b) => b - a)[0]
  return newest === undefined ? undefined : join(versionsFolder, String(newest), 'bin')
}

const programs = await programsFolder()
const isRoot = process.getuid?.() === 0

/** Options for `test()`: skipped where the server is absent. */
export const needsPostgres: { readonly skip: string | false } = needsThat(
  programs === undefined || (isRoot && findTool('setpriv') === undefined) ? ['postgresql'] : [],
)

/** The server refuses to run as root. */
function asItsUser(command: string, args: readonly string[]): [string, string[]] {
  if (!isRoot) return [command, [...args]]
  return ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]]
}

export interface Database {
  /** A folder with the server's socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
}

export class PostgresServer {
  readonly #dir: string
  readonly #args: readonly string[]
  #daemon: Daemon<true> | undefined
  #port: number | undefined
  #tls: readonly string[] = []

  private constructor(dir: string, args: readonly string[]) {
    this.#dir = dir
    this.#args = args
  }

  /** `args` are further arguments, such as `-c max_connections=20`. */
  static async start(...args: readonly string[]): Promise<PostgresServer> {
    const dir = await mkdtemp(join(tmpdir(), 'keelson-postgres-'))
    await chmod(dir, 0o777)
    const [command, initArgs] = asItsUser(join(programs ?? '', 'initdb'), [
      ...[
        '-D',
        join(dir, 'data'),
        '-U',
        'keelson',
        '-A',
        'trust',
        '-E',
        'UTF8',
        '--locale=C.UTF-8',
      ],
      '--no-sync',
    ])
    await run(command, initArgs, { cwd: dir })
    const server = new PostgresServer(dir, args)
    await server.start()
    return server
  }

  /**
   * Start it anew, on loopback as well; with a PKI over TLS alone there, and with a password.
   * It comes back on the same port.
   */
  async listen(pki?: Pki): Promise<{ readonly port: number }> {
    this.#port = await freePort()
    const data = join(this.#dir, 'data')
    if (pki !== undefined) {
      // Its own copies: it takes no key that others may read, nor one that is not its own.
      for (const [from, to] of [
        [pki.server.bundleFile, 'tls.crt'],
        [pki.server.keyFile, 'tls.key'],
      ] as const) {
        const text = await readFile(from)
        await writeFile(join(data, to), text, { mode: 0o600 })
        const { uid, gid } = await stat(data)
        await chown(join(data, to), uid, gid)
      }
      const lines = 'local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n'
      await writeFile(join(data, 'pg_hba.conf'), lines)
      this.#tls = ['-c', 'ssl=on', '-c', 'ssl_cert_file=tls.crt', '-c', 'ssl_key_file=tls.key']
    }
    await this.crash()
    await this.start()
    return { port: this.#port }
  }

  async start(): Promise<void> {
    const port = this.#port
    const listening = port === undefined ? '' : '127.0.0.1,127.0.0.2'

    const [command, args] = asItsUser(join(programs ?? '', 'postgres'), [
      ...['-D', join(this.#dir, 'data'), '-k', this.#dir, '-c', `listen_addresses=${listening}`],
      ...(port === undefined ? [] : ['-c', `port=${port}`]),
      ...this.#tls,
      ...['-c', 'fsync=off', '-c', 'shared_buffers=16MB', ...this.#args],
    ])
    const giveUpAt = performance.now() + startMsMax
    for (this.#daemon = undefined; this.#daemon === undefined; ) {
      this.#daemon = await startDaemon<true>({
        ...{ command, args, cwd: this.#dir },
        onLine: (line) => (line.includes('ready to accept connections') ? true : undefined),
      }).catch((error: unknown) => {
        // After a kill its children live on for a moment, and no other server starts beside them.
        if (String(error).includes(stillInUse) && performance.now() < giveUpAt) return undefined
        throw error
      })
    }
  }

  /** An empty one. */
  async database(): Promise<Database> {
    const database = `t${randomUUID().replaceAll('-', '')}`
    await this.query('postgres', `CREATE DATABASE ${database} TEMPLATE template0`)
    return { host: this.#dir, port: this.#port ?? 5432, user: 'keelson', database }
  }

  /** What psql prints, without headings. */
  query(database: string, text: string): Promise<string> {
    const args = ['-h', this.#dir, '-U', 'keelson', '-d', database, '-qAt']
    if (this.#port !== undefined) args.push('-p', String(this.#port))
    args.push('-c', text)
    return run(join(programs ?? '', 'psql'), args)
  }

  /** At once, without saying good-bye to anybody. */
  async crash(): Promise<void> {
    this.#daemon?.kill()
    await this.#daemon?.exited
  }

  async stop(): Promise<void> {
    await this.crash()
    await rm(this.#dir, { recursive: true, force: true })
  }
}
