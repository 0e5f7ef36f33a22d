// One store and the processes that serve it in turn: loaded by clients, killed, and compared.

import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Dice, randomFrom } from '../support/dice.ts'
import { assertStatus, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { Actor } from './actor.ts'
import { audit, resume } from './audit.ts'
import { Model } from './model.ts'
import { assertTreeIsRight } from './tree.ts'

export interface LaneOptions {
  readonly seed: number
  readonly rootDir: string
  /** How many serve the store together. */
  readonly processes: number
  readonly sharing: 'exclusive' | 'shared'
  /** What was under way at the kills, by name: shows that they hit. */
  readonly hits: Map<string, number>
}

interface Serving {
  readonly server: Server
  readonly client: RegistryClient
}

const actorCount = 5
const eventsMax = 150
const delayMsMax = 6
// Requests of each client that the processes which live on have to answer after a kill.
const stepsAfterKill = 3

export class Lane {
  readonly #options: LaneOptions
  readonly #dice: Dice
  readonly #model: Model
  readonly #killed = new Set<RegistryClient>()
  #serving: Serving[] = []
  #starts = 0

  constructor(options: LaneOptions) {
    this.#options = options
    this.#dice = new Dice(randomFrom(options.seed))
    this.#model = new Model(String(options.seed))
  }

  /** Start what is missing. */
  async start(): Promise<void> {
    const { processes, rootDir, sharing } = this.#options
    while (this.#serving.length < processes) {
      this.#starts += 1
      const admin = JSON.stringify(join(rootDir, `admin-${this.#starts}.sock`))
      const toml = `[storage]\nsharing = "${sharing}"\n[admin]\nsocket = ${admin}\n`
      const server = await startServer({ rootDir, toml })
      this.#serving.push({ server, client: new RegistryClient(server.url) })
    }
  }

  /** Load and one kill; then what is left is compared. Errors: AssertionError. */
  async crash(): Promise<void> {
    const { hits } = this.#options
    await this.#load()
    for (const { name } of this.#model.outstanding) hits.set(name, (hits.get(name) ?? 0) + 1)
    // Who has survived must get along alone, before a new process repairs anything.
    if (this.#serving.length > 0) {
      await this.#write()
      await this.#check()
    }
    await this.start()
    await this.#check()
  }

  /** Every session goes on to its end; the processes end by themselves. Errors: AssertionError. */
  async end(): Promise<void> {
    const { client } = this.#any()
    for (const session of [...this.#model.sessions.values()]) {
      await resume(client, this.#model, session, this.#dice)
    }
    await audit(client, this.#model)
    for (const serving of this.#serving) {
      serving.client.close()
      const exit = await serving.server.stop()
      assert.deepEqual(exit, { code: 0, signal: null }, serving.server.log.join('\n'))
    }
    await assertTreeIsRight(this.#options.rootDir)
  }

  /** However it ended. */
  async abandon(): Promise<void> {
    for (const { server, client } of this.#serving) {
      client.close()
      server.kill()
      await server.exited
    }
    await rm(this.#options.rootDir, { recursive: true, force: true })
  }

  /** The last lines of the processes at work. */
  get log(): string {
    return this.#serving.flatMap(({ server }) => server.log.slice(-5)).join('\n')
  }

  async #load(): Promise<void> {
    const victim = this.#any()
    const kill = (): void => {
      this.#killed.add(victim.client)
      victim.server.kill()
    }
    const actors = this.#actors(victim.client, this.#fuse(kill))
    const running = actors.map((actor) => actor.run())
    // The actors alone end this only where one has failed.
    await Promise.race([victim.server.exited, Promise.all(running)])
    for (const actor of actors) actor.stop(stepsAfterKill)
    await Promise.all(running)
    await victim.server.exited
    victim.client.close()
    this.#serving = this.#serving.filter((serving) => serving !== victim)
  }

  /** Counts events, and calls `kill` at a random one or soon after it. */
  #fuse(kill: () => void): () => void {
    let left = 1 + this.#dice.below(eventsMax)
    const delayMs = this.#dice.chance(0.5) ? 0 : this.#dice.below(delayMsMax)
    return () => {
      left -= 1
      if (left !== 0) return
      if (delayMs === 0) kill()
      else setTimeout(kill, delayMs)
    }
  }

  #actors(doomed: RegistryClient, onEvent: () => void): readonly Actor[] {
    return Array.from({ length: actorCount }, (_, i) => {
      const mayBreak = (client: RegistryClient): boolean => this.#killed.has(client)
      const dice = this.#dice.fork()
      const client = (): RegistryClient => dice.pick(this.#serving).client
      const around = { model: this.#model, dice, client, doomed, mayBreak, onEvent }
      return new Actor(`own/actor-${i}`, around)
    })
  }

  /**
   * A commit that nobody was told of may be on the disk, and not counted yet, when its process is killed. The
   * next write of anybody counts it: until then the others show what was before it, and may.
   */
  async #write(): Promise<void> {
    const { client } = this.#any()
    const session = await client.startUpload('own/probe')
    assertStatus(await client.delete(session), 204, 'the end of a session')
  }

  async #check(): Promise<void> {
    const { client } = this.#any()
    await audit(client, this.#model)
    for (const session of [...this.#model.sessions.values()]) {
      // The others live on through the next kill.
      if (this.#dice.chance(0.5)) await resume(client, this.#model, session, this.#dice)
    }
  }

  #any(): Serving {
    return this.#dice.pick(this.#serving)
  }
}
