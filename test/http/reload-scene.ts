// Answers for a server whose configuration tests change while it serves.

import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import type { RawConnection } from '../support/raw-http.ts'
import { type Server, type ServerOptions, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** How a reload ended, as the log tells it. */
export interface ReloadLines {
  readonly changed: readonly string[]
  readonly needsRestart: readonly string[]
  /** Undefined where it was taken. */
  readonly problems: readonly string[] | undefined
}

interface LogLine {
  readonly msg?: string
  readonly changed?: readonly string[]
  readonly needsRestart?: readonly string[]
  readonly problems?: readonly string[]
}

export class ReloadScene {
  readonly server: Server
  readonly #isWatched: boolean
  #seen = 0

  private constructor(server: Server, isWatched: boolean) {
    this.server = server
    this.#isWatched = isWatched
  }

  /** `toml` is the file that changes, beside a base with a store and `[server]`. */
  static async start(toml: string, options: ServerOptions = {}): Promise<ReloadScene> {
    const isWatched = !toml.includes('watch_config = false')
    return new ReloadScene(await startServer({ ...options, toml }), isWatched)
  }

  /**
   * Puts the file in place of the other in one step, as careful editors do, and waits for the reload;
   * asks for it where the server does not watch.
   */
  async change(toml: string): Promise<ReloadLines> {
    const { configFile } = this.server
    await writeFile(`${configFile}.new`, toml)
    await rename(`${configFile}.new`, configFile)
    if (!this.#isWatched) process.kill(this.server.pid, 'SIGHUP')
    return this.reloaded()
  }

  /** Waits for the next reload to have ended. */
  async reloaded(): Promise<ReloadLines> {
    const found = (): number =>
      this.server.log.findIndex((line, at) => at >= this.#seen && isEnd(line))
    await until('the configuration is read again', () => found() !== -1)
    const index = found()
    // What needs a restart is told right after.
    const next = read(this.server.log[index + 1] ?? '')
    const { changed = [], problems } = read(this.server.log[index] ?? '')
    this.#seen = index + 1
    return { changed, needsRestart: next.needsRestart ?? [], problems }
  }

  async stop(): Promise<void> {
    const exit = await this.server.stop()
    assert.equal(exit.code, 0)
  }
}

function isEnd(line: string): boolean {
  const { msg = '' } = read(line)
  return (
    msg === 'the configuration was read again' || msg.startsWith('the configuration was refused')
  )
}

function read(line: string): LogLine {
  return line.startsWith('{') ? (JSON.parse(line) as LogLine) : {}
}

/** The status of a GET on a connection that stays open. */
export async function statusOn(
  connection: RawConnection,
  path: string,
  headers: readonly string[] = [],
): Promise<number> {
  const head = [`GET ${path} HTTP/1.1`, 'Host: registry.test', ...headers]
  connection.write(`${head.join('\r\n')}\r\n\r\n`)
  return (await connection.reply()).status
}
