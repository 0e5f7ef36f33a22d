// Answers for a server of several processes under test: which of them has a connection, and what they say
// of themselves together.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { RawConnection, type RawReply, type RawTarget } from '../support/raw-http.ts'
import { digestOf } from '../support/registry-client.ts'
import { type Server, type ServerOptions, startServer } from '../support/server.ts'
import { adminCall, poll } from './product.ts'

/** What the tests read of the admin interface's `/status`. */
export interface ProcessStatus {
  readonly process: number
  readonly pid: number | null
  readonly state: string
  readonly restarts: number
  readonly edge?: { readonly connectionsAccepted: number }
}

export interface Call {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

/** One connection, which one process has as long as it lasts. */
export class Pinned {
  readonly pid: number
  readonly #connection: RawConnection

  constructor(connection: RawConnection, pid: number) {
    this.#connection = connection
    this.pid = pid
  }

  get isOver(): boolean {
    return this.#connection.isOver
  }

  call(method: string, path: string, options: Call = {}): Promise<RawReply> {
    return callOn(this.#connection, method, path, options)
  }

  async push(repository: string, bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes)
    const uploads = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    const { status } = await this.call('POST', uploads, { body: bytes })
    assert.equal(status, 201)
    return digest
  }

  close(): void {
    this.#connection.close()
  }
}

async function callOn(
  connection: RawConnection,
  method: string,
  path: string,
  { headers = {}, body = new Uint8Array(0) }: Call,
): Promise<RawReply> {
  const all = { Host: 'registry', 'Content-Length': String(body.length), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  connection.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, body)
  return connection.reply({ isHead: method === 'HEAD' })
}

export class Processes {
  readonly server: Server
  readonly #open = new Set<Pinned>()

  constructor(server: Server) {
    this.server = server
  }

  /** GET of the admin interface. */
  admin(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return adminCall(join(this.server.rootDir, '_keelson', 'admin.sock'), path)
  }

  async status(): Promise<readonly ProcessStatus[]> {
    const { processes } = JSON.parse((await this.admin('/status')).body) as {
      readonly processes: readonly ProcessStatus[]
    }
    return processes
  }

  async pids(): Promise<readonly number[]> {
    return (await this.status()).flatMap(({ pid }) => pid ?? [])
  }

  /** Until what they say of themselves satisfies. */
  until(
    what: string,
    holds: (status: readonly ProcessStatus[]) => boolean,
    deadlineMs = 30_000,
  ): Promise<readonly ProcessStatus[]> {
    return poll(
      what,
      async () => {
        const status = await this.status()
        return holds(status) ? status : undefined
      },
      deadlineMs,
    )
  }

  /** The sum over all processes of one metric, whatever its labels. */
  async metric(name: string): Promise<number> {
    const { body } = await this.admin('/metrics')
    const lines = body.split('\n').filter((line) => line.split(/[{ ]/)[0] === name)
    assert.ok(lines.length > 0, `no metric ${name}`)
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  }

  /** A connection to whichever process takes it. */
  async connect(target: RawTarget = { port: this.server.port }): Promise<Pinned> {
    const connection = await RawConnection.open(target)
    // Whose it is shows once it was accepted.
    await callOn(connection, 'GET', '/v2/', {})
    const pid = ownerOf(connection.socket.localPort ?? 0, await this.pids())
    const pinned = new Pinned(connection, pid)
    this.#open.add(pinned)
    return pinned
  }

  /** One connection to each process at least; those that are too many are kept, too. */
  async connectToEach(target?: RawTarget): Promise<readonly Pinned[]> {
    const pids = await this.pids()
    const found: Pinned[] = []
    await poll(
      'a connection to each process',
      async () => {
        // Several at a time: a process that is busy leaves them to the others.
        found.push(...(await Promise.all(Array.from({ length: 8 }, () => this.connect(target)))))
        return pids.every((pid) => found.some((each) => each.pid === pid)) || undefined
      },
      30_000,
    )
    return found
  }

  async end(): Promise<void> {
    for (const each of this.#open) each.close()
    const exit = await this.server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, this.server.log.slice(-20).join('\n'))
  }
}

/** `processes` default 2. */
export async function startProcesses(
  { toml = '', ...options }: ServerOptions = {},
  count = 2,
): Promise<Processes> {
  const processes = `[server]\nprocesses = ${count}\n`
  // A table is written once.
  const merged = toml.startsWith('[server]\n')
    ? toml.replace('[server]\n', processes)
    : `${processes}${toml}`
  return new Processes(await startServer({ ...options, toml: merged }))
}

/** Which of these processes has the other end of our connection from this port. */
function ownerOf(port: number, pids: readonly number[]): number {
  const ours = port.toString(16).toUpperCase().padStart(4, '0')
  const rows = ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((file) => readFileSync(file, 'latin1').split('\n'))
    .map((line) => line.trim().split(/ +/))
  // Others may have had that port a moment ago, or have it towards another server.
  const inodes = rows
    .filter(([, , remote = '']) => remote.endsWith(`:${ours}`))
    .map((row) => `socket:[${row[9]}]`)
  const owner = pids.find((pid) => {
    const sockets = socketsOf(pid)
    return inodes.some((inode) => sockets.has(inode))
  })
  assert.ok(owner, `nobody has the connection from port ${port}`)
  return owner
}

function socketsOf(pid: number): ReadonlySet<string> {
  const folder = `/proc/${pid}/fd`
  return new Set(
    readdirSync(folder).map((name) => {
      try {
        return readlinkSync(join(folder, name))
      } catch {
        return ''
      }
    }),
  )
}

/** Whether a process of this number runs. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return false
  }
}
