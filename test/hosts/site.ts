// Answers for a registry of several hosts in tests: servers that share a real PostgreSQL, a real S3 server and a real
// Redis, each in namespaces of its own, so that none can see another's processes or network, and each with a cable, on which
// what goes to and from each of those three can be lost. For tests in a network of their own.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { adminCall } from '../http/product.ts'
import { type Daemon, type Exit, startDaemon } from '../support/daemon.ts'
import { needsNamespaces } from '../support/own-network.ts'
import { needsPostgres, PostgresServer } from '../support/postgres.ts'
import { freePort, needsRedis, RedisServer } from '../support/redis.ts'
import { RegistryClient } from '../support/registry-client.ts'
import { S3Gate } from '../support/s3-faults.ts'
import { productCommand } from '../support/server.ts'
import { needsVersitygw, S3Server, s3Keys } from '../support/versitygw.ts'
import { type Cable, layCable, loopback } from './cable.ts'

/** Options for `test()`. */
export const needsHosts: { readonly skip: string | false } = {
  skip: needsVersitygw.skip || needsPostgres.skip || needsRedis.skip || needsNamespaces.skip,
}

/** What a host has at the end of its cable. */
export type Part = 's3' | 'postgres' | 'redis'

/** The way of one host to what all share. */
export interface Ways {
  readonly cable: Cable
  /** Its own gate to the bucket, which all share. */
  readonly s3: S3Gate
  readonly ports: Readonly<Record<Part, number>>
}

interface NodeOptions {
  readonly name: string
  readonly folder: string
  readonly port: number
  readonly ways: Ways
  readonly bucket: string
  readonly database: string
  readonly toml: string
  /** Another build of the product. */
  readonly program: string | undefined
}

/** One host: the product in a process namespace, killed with it. */
export class HostNode {
  readonly name: string
  readonly ways: Ways
  readonly url: string
  readonly port: number
  readonly client: RegistryClient
  readonly #options: NodeOptions
  #daemon: Daemon<true> | undefined
  #product = 0

  constructor(options: NodeOptions) {
    this.#options = options
    this.name = options.name
    this.ways = options.ways
    this.port = options.port
    this.url = `http://${this.address}:${options.port}`
    this.client = new RegistryClient(this.url)
  }

  get address(): string {
    return this.#options.ways.cable.address
  }

  get log(): readonly string[] {
    return this.#daemon?.log ?? []
  }

  /** From now on nothing comes from there, nor gets there, and nobody hears of it. */
  cutOff(part: Part): Promise<void> {
    const { cable, ports } = this.ways
    return cable.cut(ports[part])
  }

  reconnect(part: Part): Promise<void> {
    const { cable, ports } = this.ways
    return cable.mend(ports[part])
  }

  async start(): Promise<void> {
    const { folder, name, program: other } = this.#options
    const file = join(folder, `${name}.toml`)
    await writeFile(file, this.#configuration())
    const [program = '', ...args] = productCommand(other)
    const [command = '', ...onHost] = [...this.ways.cable.onHost, 'unshare']
    this.#daemon = await startDaemon<true>({
      command,
      args: [
        ...onHost,
        ...['--pid', '--fork', '--kill-child', '--mount-proc', '--uts', '--', 'sh', '-c'],
        ...[`hostname ${name} && exec "$@"`, name, program, ...args, '-c', file, 'server'],
      ],
      onLine: (line) => (line.includes('"msg":"serving"') ? true : undefined),
    })
    const { pid } = this.#daemon
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    this.#product = Number(children.trim())
    assert.ok(this.#product > 1, `one child of ${pid}: ${children}`)
  }

  /** Id of the product's own process. */
  get product(): number {
    return this.#product
  }

  get adminSocket(): string {
    return join(this.#options.folder, `${this.name}.sock`)
  }

  admin(path: string): ReturnType<typeof adminCall> {
    return adminCall(this.adminSocket, path)
  }

  /** POST of the admin interface; answers what it says. Errors: AssertionError unless it is 200. */
  async tell<T>(path: string, input: object): Promise<T> {
    const { status, body } = await adminCall(this.adminSocket, path, 'POST', JSON.stringify(input))
    assert.equal(status, 200, body)
    return JSON.parse(body) as T
  }

  async status<T>(): Promise<T> {
    return JSON.parse((await this.admin('/status')).body) as T
  }

  /** SIGSTOP: its connections stay open, and nothing of it goes on. */
  pause(): void {
    process.kill(this.#product, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.#product, 'SIGCONT')
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#daemon?.kill()
    await this.#daemon?.exited
  }

  /** SIGTERM; it must end by itself. */
  async stop(): Promise<Exit | undefined> {
    this.client.close()
    const daemon = this.#daemon
    if (daemon === undefined) return undefined
    process.kill(this.#product, 'SIGTERM')
    return daemon.exited
  }

  #configuration(): string {
    const { bucket, database, port, toml, ways } = this.#options
    return `
[server]
bind_address = "${this.address}"
port = ${port}
[health]
check_host = false
[admin]
socket = ${JSON.stringify(this.adminSocket)}
[blob_store.s3]
endpoint = "${ways.s3.endpoint}"
bucket = "${bucket}"
path_style = true
access_key_id = "${s3Keys.accessKeyId}"
secret_access_key = "${s3Keys.secretAccessKey}"
part_size = "5MiB"
attempt_timeout = "5s"
[metadata_store.postgres]
host = "127.0.0.1"
port = ${ways.ports.postgres}
database = "${database}"
username = "keelson"
sslmode = "disable"
connect_timeout = "3s"
statement_timeout = "5s"
[redis]
url = "redis://127.0.0.1:${ways.ports.redis}"
${toml.includes('[global.access_policy]') ? '' : '[global.access_policy]\ndefault = "allow"\n'}
${toml}
`
  }
}

/** What hosts share, and those that were made of it. */
export class Site {
  readonly postgres: PostgresServer
  readonly s3: S3Server
  readonly redis: RedisServer
  readonly bucket: string
  /** Else all hosts are on the network of the test. */
  readonly isOnCables: boolean
  readonly nodes: HostNode[] = []
  readonly #folder: string
  readonly #database: string
  readonly #postgresPort: number

  private constructor(
    folder: string,
    parts: Pick<Site, 'postgres' | 's3' | 'redis' | 'isOnCables'>,
    names: { readonly bucket: string; readonly database: string; readonly port: number },
  ) {
    this.#folder = folder
    this.postgres = parts.postgres
    this.s3 = parts.s3
    this.redis = parts.redis
    this.isOnCables = parts.isOnCables
    this.bucket = names.bucket
    this.#database = names.database
    this.#postgresPort = names.port
  }

  static async open({ isOnCables = true }: { readonly isOnCables?: boolean } = {}): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-hosts-'))
    const [postgres, s3, redis] = await Promise.all([
      PostgresServer.start(),
      S3Server.start(),
      RedisServer.start({ dir: folder }),
    ])
    const { port } = await postgres.listen()
    const { database } = await postgres.database()
    const names = { bucket: await s3.bucket(), database, port }
    return new Site(folder, { postgres, s3, redis, isOnCables }, names)
  }

  /**
   * A further host, not started. `toml`: further lines of its configuration. The second one is of the build that
   * KEELSON_TEST_OTHER_BIN names, as in the middle of an upgrade.
   */
  async add(name: string, toml = ''): Promise<HostNode> {
    const s3 = await S3Gate.open(this.s3.endpoint)
    const ports = {
      s3: Number(new URL(s3.endpoint).port),
      postgres: this.#postgresPort,
      redis: this.redis.port,
    }
    const cable = this.isOnCables
      ? await layCable(name, this.nodes.length + 1, Object.values(ports))
      : loopback
    const ways = { cable, s3, ports }
    const isOther = this.nodes.length === 1
    const program = isOther ? process.env['KEELSON_TEST_OTHER_BIN'] : undefined
    const node = new HostNode({
      ...{ name, folder: this.#folder, port: await freePort(), ways, toml, program },
      ...{ bucket: this.bucket, database: this.#database },
    })
    this.nodes.push(node)
    return node
  }

  /** What psql prints. */
  query(text: string): Promise<string> {
    return this.postgres.query(this.#database, text)
  }

  /** However it ended. */
  async close(): Promise<void> {
    for (const node of this.nodes) {
      node.client.close()
      await node.kill()
      await node.ways.s3.close()
    }
    await Promise.all([this.postgres.stop(), this.s3.stop(), this.redis.stop()])
    await rm(this.#folder, { recursive: true, force: true })
  }
}
