// Answers for a real S3 server in tests: versitygw, built from source, over a folder of its own.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import { goTool, needsGo } from './go-tools.ts'
import { freePort } from './redis.ts'
import { needsThat } from './tools.ts'

const goMinor = 25
const isGoThere = needsGo(goMinor).skip === false
let lack: string | undefined
const program = isGoThere
  ? await goTool(
      {
        skip: (message) => {
          lack = message ?? 'versitygw'
        },
      },
      'test/support/versitygw',
      'github.com/versity/versitygw/cmd/versitygw',
    )
  : undefined

/** Options for `test()`: skipped where it can neither be found nor built. */
export const needsVersitygw: { readonly skip: string | false } = isGoThere
  ? { skip: lack ?? false }
  : needsThat([`Go 1.${goMinor} or newer`])

export const s3Keys = { accessKeyId: 'tester', secretAccessKey: 'tester-secret' } as const

export class S3Server {
  /** `http://127.0.0.1:PORT`; the same after a restart. */
  readonly endpoint: string
  readonly #dir: string
  readonly #port: number
  #daemon: Daemon<true> | undefined
  #buckets = 0

  private constructor(dir: string, port: number) {
    this.#dir = dir
    this.#port = port
    this.endpoint = `http://127.0.0.1:${port}`
  }

  static async start(): Promise<S3Server> {
    const dir = await mkdtemp(join(tmpdir(), 'keelson-s3-'))
    await Promise.all(['data', 'sidecar'].map((name) => mkdir(join(dir, name))))
    const server = new S3Server(dir, await freePort())
    await server.start()
    return server
  }

  async start(): Promise<void> {
    const { accessKeyId, secretAccessKey } = s3Keys
    this.#daemon = await startDaemon<true>({
      command: program ?? '',
      args: [
        ...['--port', `127.0.0.1:${this.#port}`, '--quiet', '--keep-alive'],
        ...['posix', '--sidecar', join(this.#dir, 'sidecar'), join(this.#dir, 'data')],
      ],
      env: {
        PATH: process.env['PATH'],
        ROOT_ACCESS_KEY_ID: accessKeyId,
        ROOT_SECRET_ACCESS_KEY: secretAccessKey,
      },
      probe: async () => {
        const answer = await fetch(this.endpoint).catch(() => undefined)
        return answer === undefined ? undefined : true
      },
    })
  }

  /** A new, empty bucket. */
  async bucket(): Promise<string> {
    this.#buckets += 1
    const name = `bucket-${this.#buckets}`
    await mkdir(join(this.#dir, 'data', name))
    return name
  }

  /** The folder that the objects of a bucket are files of, by their keys. */
  folder(bucket: string): string {
    return join(this.#dir, 'data', bucket)
  }

  /** Keys below the folder, in order. */
  async keys(bucket: string): Promise<readonly string[]> {
    const entries = await readdir(this.folder(bucket), { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.folder(bucket).length + 1))
      .filter((key) => !key.startsWith('.sgwtmp'))
      .sort()
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
