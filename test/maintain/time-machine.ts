// Answers for a real registry whose time a test can let pass, and its commands.

import assert from 'node:assert/strict'
import { renameSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../support/command-line.ts'
import { RegistryClient } from '../support/registry-client.ts'
import { openScene } from '../support/scene.ts'
import type { Server } from '../support/server.ts'

const preload = fileURLToPath(new URL('../support/moved-clock.js', import.meta.url))

export interface Report {
  readonly run: string
  readonly ok: boolean
  readonly summary: readonly string[]
  readonly details: Readonly<Record<string, unknown>>
}

export class TimeMachine {
  readonly server: Server
  readonly client: RegistryClient
  readonly #clockFile: string
  readonly #dir: string
  #aheadMs = 0

  private constructor(server: Server, dir: string, clockFile: string) {
    this.server = server
    this.client = new RegistryClient(server.url)
    this.#dir = dir
    this.#clockFile = clockFile
  }

  /** `toml` beside an open registry that collects nothing by itself; grace and window of a minute each. */
  static async open(t: TestContext, toml = ''): Promise<TimeMachine> {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-time-'))
    const clockFile = join(folder, 'clock')
    writeFileSync(clockFile, '0')
    const { dir, server, onEnd } = await openScene(t, {
      env: { NODE_OPTIONS: `--import=${preload}`, KEELSON_TEST_CLOCK: clockFile },
      toml: `[gc]\ngrace = "1m"\nrestore_window = "1m"\nevery = "0s"\n${toml}[storage]\ndurability = "none"\n`,
    })
    // After the server, which reads it to its end.
    t.after(() => rm(folder, { recursive: true }))
    const machine = new TimeMachine(server, dir, clockFile)
    onEnd(async () => machine.client.close())
    return machine
  }

  /** Let so much time pass. */
  pass(seconds: number): void {
    this.#aheadMs += seconds * 1000
    // In one step: a reader must never find it empty.
    writeFileSync(`${this.#clockFile}.next`, String(this.#aheadMs))
    renameSync(`${this.#clockFile}.next`, this.#clockFile)
  }

  /** Run a job in the server, to its end. Errors: AssertionError where it is not ok. */
  async job(...command: readonly string[]): Promise<Report> {
    const file = join(this.#dir, 'command.toml')
    writeFileSync(file, `[blob_store.fs]\nroot_dir = ${JSON.stringify(this.server.rootDir)}\n`)
    const args = ['-c', file, ...command, '--online', '--json']
    const { code, out, err } = await runCommand(args, this.#dir)
    assert.equal(code, 0, `${command.join(' ')}: ${out}${err}`)
    return JSON.parse(out) as Report
  }
}
