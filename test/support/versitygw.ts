// Answers for a real S3 server in tests: versitygw, built from source, over a folder of its own; or another one, by the
// shell command in KEELSON_TEST_S3_SERVER, which finds $PORT, $DIR, $ACCESS_KEY and $SECRET_KEY and must not go to the background.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Daemon, type DaemonOptions, startDaemon } from './daemon.ts'
import { goTool, needsGo } from './go-tools.ts'
import { freePort } from './redis.ts'
import { ObjectFiles, type Objects, RemoteObjects } from './s3-objects.ts'
import { needsThat } from './tools.ts'

const otherServer = process.env['KEELSON_TEST_S3_SERVER']
const goMinor = 25
const isGoThere = needsGo(goMinor).skip === false
let lack: string | undefined
const program =
  isGoThere && otherServer === undefined
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
export const needsVersitygw: { readonly skip: string | false } =
  isGoThere || otherServer !== undefined
    ? { skip: lack ?? false }
    : needsThat([`Go 1.${goMinor} or newer`])

export const s3Keys = { accessKeyId: 'tester', secretAccessKey: 'tester-secret' } as const

export class S3Server {
  /** `http://127.0.0.1:PORT`; the same after a restart. */
  readonly endpoint: string
  readonly #dir: string
  readonly #port: number
  readonly #objects: Objects
  #daemon: Daemon<true> | undefined
  #buckets = 0

  private constructor(dir: string, port: number) {
    this.#dir = dir
    this.#port = port
    this.endpoint = `http://127.0.0.1:${port}`
    this.#objects =
      otherServer === undefined
        ? new ObjectFiles(join(dir, 'data'))
        : new RemoteObjects(this.endpoint, s3Keys)
  }

  static async start(): Promise<S3Server> {
    const dir = await mkdtemp(join(tmpdir(), 'keelson-s3-'))
    await Promise.all(['data', 'sidecar'].map((name) => mkdir(join(dir, name))))
    const server = new S3Server(dir, await freePort())
    await server.start()
    return server
  }

  async start(): Promise<void> {
    this.#daemon = await startDaemon<true>({
      ...this.#command(),
      probe: async () => {
        const answer = await fetch(this.endpoint).catch(() => undefined)
        return answer === undefined ? undefined : true
      },
    })
  }

  #command(): Pick<DaemonOptions<true>, 'command' | 'args' | 'env'> {
    const { accessKeyId, secretAccessKey } = s3Keys
    const data = join(this.#dir, 'data')
    const { PATH, HOME } = process.env
    if (otherServer !== undefined) {
      const keys = { ACCESS_KEY: accessKeyId, SECRET_KEY: secretAccessKey }
      const env = { PATH, HOME, PORT: String(this.#port), DIR: data, ...keys }
      return { command: 'sh', args: ['-c', otherServer], env }
    }
    return {
      command: program ?? '',
      args: [
        ...['--port', `127.0.0.1:${this.#port}`, '--quiet', '--keep-alive'],
        ...['posix', '--sidecar', join(this.#dir, 'sidecar'), data],
      ],
      env: { PATH, ROOT_ACCESS_KEY_ID: accessKeyId, ROOT_SECRET_ACCESS_KEY: secretAccessKey },
    }
  }

  /** A new, empty bucket. */
  async bucket(): Promise<string> {
    this.#buckets += 1
    const name = `bucket-${this.#buckets}`
    await this.#objects.make(name)
    return name
  }

  /** In order. */
  keys(bucket: string): Promise<readonly string[]> {
    return this.#objects.keys(bucket)
  }

  read(bucket: string, key: string): Promise<Buffer> {
    return this.#objects.read(bucket, key)
  }

  /** Behind the back of everybody. */
  overwrite(bucket: string, key: string, bytes: Uint8Array): Promise<void> {
    return this.#objects.overwrite(bucket, key, bytes)
  }

  /** Behind the back of everybody. */
  remove(bucket: string, key: string): Promise<void> {
    return this.#objects.remove(bucket, key)
  }

  /** At once, without saying good-bye to anybody. */
  async crash(): Promise<void> {
    this.#daemon?.kill()
    await this.#daemon?.exited
  }

  async stop(): Promise<void> {
    await this.crash()
    this.#objects.close()
    await rm(this.#dir, { recursive: true, force: true })
  }
}
