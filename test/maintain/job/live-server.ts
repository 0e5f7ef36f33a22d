// Answers for a real registry whose configuration and clocks tests change while its jobs run.

import assert from 'node:assert/strict'
import { renameSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type AdminAnswer, askAdmin } from '../../../src/cli/admin-client.ts'
import type { JobStatus } from '../../../src/maintain/job/admin.ts'
import { poll } from '../../http/product.ts'
import { type ReloadLines, ReloadScene } from '../../http/reload-scene.ts'
import { RegistryClient } from '../../support/registry-client.ts'

const preload = fileURLToPath(new URL('../../support/moved-clock.js', import.meta.url))
const waitMs = 60_000

export class LiveServer {
  readonly client: RegistryClient
  /** For what jobs write. */
  readonly folder: string
  readonly #scene: ReloadScene
  #passedMs = 0
  #setMs = 0

  private constructor(scene: ReloadScene, folder: string) {
    this.#scene = scene
    this.folder = folder
    this.client = new RegistryClient(scene.server.url)
  }

  /** `toml`: what `reload` replaces. Nothing runs by itself but what it says. */
  static async start(t: TestContext, toml: string): Promise<LiveServer> {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-live-'))
    const clock = join(folder, 'clock')
    writeFileSync(clock, '0')
    const env = { NODE_OPTIONS: `--import=${preload}`, KEELSON_TEST_CLOCK: clock }
    const scene = await ReloadScene.start(toml, { env })
    const server = new LiveServer(scene, folder)
    t.after(async () => {
      server.client.close()
      await scene.stop()
      await rm(folder, { recursive: true })
    })
    return server
  }

  reload(toml: string): Promise<ReloadLines> {
    return this.#scene.change(toml)
  }

  /** Let so much time pass. */
  pass(seconds: number): void {
    this.#passedMs += seconds * 1000
    this.#moveClock()
  }

  /** Set the wall clock forwards, or back, as somebody does who has it wrong. */
  setClock(seconds: number): void {
    this.#setMs += seconds * 1000
    this.#moveClock()
  }

  ask(path: string, input?: object): Promise<AdminAnswer> {
    const socket = join(this.#scene.server.rootDir, '_keelson', 'admin.sock')
    return askAdmin(socket, path, input)
  }

  /** Answers the run. */
  async start(kind: string, input: object = {}): Promise<string> {
    const { status, body } = await this.ask('/jobs/start', { kind, input })
    assert.equal(status, 202, JSON.stringify(body))
    return (body as { readonly run: string }).run
  }

  /** Start it, and see that it does not end by itself. */
  async startSlow(kind: string, input: object = {}): Promise<void> {
    await this.start(kind, input)
    const { state } = await this.until(kind, (job) => job.state !== 'never')
    assert.equal(state, 'running')
  }

  async until(kind: string, holds: (job: JobStatus) => boolean): Promise<JobStatus> {
    const look = async (): Promise<JobStatus | undefined> => {
      const { body } = await this.ask(`/jobs?kind=${kind}`)
      const [job] = (body as { readonly jobs: readonly JobStatus[] }).jobs
      return job !== undefined && holds(job) ? job : undefined
    }
    return poll(`${kind} is so far`, look, waitMs)
  }

  /** Errors: AssertionError where it did not end well. */
  async ended(kind: string): Promise<JobStatus> {
    const job = await this.until(kind, ({ state }) => state !== 'running')
    assert.deepEqual([job.state, job.outcome], ['ended', 'ok'], JSON.stringify(job))
    return job
  }

  /** From the beginning to its end. */
  async run(kind: string, input: object = {}): Promise<JobStatus> {
    await this.start(kind, input)
    return this.ended(kind)
  }

  // In one step: a reader must never find it empty.
  #moveClock(): void {
    const clock = join(this.folder, 'clock')
    writeFileSync(`${clock}.next`, `${this.#passedMs} ${this.#setMs}`)
    renameSync(`${clock}.next`, clock)
  }
}
