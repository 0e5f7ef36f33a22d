// The run of the model test: groups of client actions at once, jobs between and beside them, the clock moved
// to where it hurts, and kills.

import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { Dice, randomFrom } from '../../support/dice.ts'
import { type JobRun, MaintainScene, type StoreKind } from '../../support/maintain.ts'
import { inspectStore } from '../../support/store-breaches.ts'
import type { Action, Client, Restored } from './action.ts'
import { dealAction, dealPushOfDoomed } from './actions.ts'
import { enterDeed } from './deeds.ts'
import { type Chore, JobTurns } from './job-turns.ts'
import { Model, type RepositoryModel } from './model.ts'
import { assertRestored } from './restored.ts'
import { settleTag } from './settle.ts'
import { makeWorld } from './world.ts'

export const graceMs = 3_600_000
export const windowMs: number = 2 * graceMs
export const untaggedAfterMs: number = graceMs / 2
// Later than any file, whose times are those of the machine: a file of the future looks as if just written.
const startMs = Date.UTC(2096, 0)

export interface Plan {
  readonly seed: number
  readonly stores: StoreKind
  /** Actions of clients, at least. */
  readonly steps: number
  /** What a process does before it serves. */
  readonly onStart: (scene: MaintainScene) => Promise<unknown>
  /** Bring back all that the run has taken away; answers what was brought back. */
  readonly restore: (scene: MaintainScene, run: string) => Promise<readonly JobDeed[]>
  readonly restoreTag: (
    scene: MaintainScene,
    repository: string,
    tag: string,
    to: Digest,
  ) => Promise<Restored>
  /** `gc`, which comes first and is most often run, and `scrub` among them. */
  readonly chores: (scene: MaintainScene) => readonly Chore[]
}

/** How often each kind of thing has happened. */
export type Tally = Readonly<Record<string, number>>

const atOnceMax = 4
// Sweeps until all of a nest is gone.
const depthMax = 8
const stepsBetweenChecks = 100
const stepsBetweenRests = 500

export class Simulation {
  readonly #plan: Plan
  readonly #client: Client
  readonly #scene: MaintainScene
  readonly #dice: Dice
  readonly #tally: Record<string, number> = {}
  readonly #trail: string[] = []
  readonly #delays: Dice
  readonly #underWay = new Map<Action, Promise<void>>()
  #job: JobTurns | undefined
  /** To clients. */
  #isOpen = false
  /** That ended, and was not restored. */
  #last: (JobRun & { readonly endMs: number }) | undefined
  #steps = 0

  private constructor(plan: Plan, scene: MaintainScene, dice: Dice, delays: Dice) {
    this.#plan = plan
    this.#delays = delays
    this.#scene = scene
    this.#dice = dice
    const world = makeWorld(dice, plan.seed)
    const model = new Model(world, { graceMs, untaggedAfterMs, windowMs })
    this.#client = {
      ...{ world, model, dice, scene, sessions: new Map(), busy: new Set(), touched: new Set() },
      restoreTag: (repository, tag, to) => plan.restoreTag(scene, repository, tag, to),
    }
  }

  /** Errors: AssertionError with the seed and what happened last. */
  static async run(plan: Plan): Promise<Tally> {
    const dice = new Dice(randomFrom(plan.seed))
    const uuids = dice.fork()
    const delays = dice.fork()
    let simulation: Simulation | undefined
    const scene = await MaintainScene.open({
      ...{ stores: plan.stores, startMs, graceMs, randomUuid: () => uuidOf(uuids) },
      delay: (call) => (simulation === undefined ? undefined : simulation.#delay(call)),
    })
    simulation = new Simulation(plan, scene, dice, delays)
    try {
      await simulation.#all()
      return simulation.#tally
    } catch (error) {
      const trail = simulation.#trail.slice(-30).join('\n')
      const where = `step ${simulation.#steps} of KEELSON_TEST_SEED=${plan.seed}`
      throw new Error(`${where}: ${error}\n${trail}`, { cause: error })
    } finally {
      await scene.close()
    }
  }

  async #all(): Promise<void> {
    let checkAt = stepsBetweenChecks
    let restAt = stepsBetweenRests
    while (this.#steps < this.#plan.steps) {
      await this.#turn()
      if (this.#steps >= checkAt) {
        await this.#check()
        checkAt = this.#steps + stepsBetweenChecks
      }
      if (this.#steps >= restAt) {
        await this.#rest()
        restAt = this.#steps + stepsBetweenRests
      }
    }
    await this.#rest()
  }

  async #turn(): Promise<void> {
    const scene = this.#scene
    for (const repository of this.#repositories()) repository.witness(scene.nowMs)
    this.#moveClock()
    if (this.#job === undefined && this.#dice.chance(0.1)) this.#startJob()
    if (this.#job === undefined && this.#dice.chance(0.05)) await this.#restore()
    const actions: Action[] = []
    for (let i = 1 + this.#dice.below(atOnceMax); i > 0; i--) {
      const action = dealAction(this.#client)
      if (action !== undefined) actions.push(action)
    }
    const turns = this.#turnsOfJob()
    if (this.#dice.chance(0.04)) {
      this.#note('a kill is planned')
      scene.life.dieIn(this.#dice.below(6), this.#dice.chance(0.5))
    }
    this.#isOpen = true
    for (const action of actions) this.#begin(action)
    const job = this.#job?.advance(turns)
    await Promise.race([this.#allDone(job), scene.life.over])
    this.#isOpen = false
    if (scene.life.isOver) await this.#afterKill()
    else scene.life.dieIn(Number.POSITIVE_INFINITY, false)
    this.#client.busy.clear()
    await this.#endJob()
  }

  #begin(action: Action): void {
    this.#note(action.what)
    this.#steps += 1
    const running = action.run().then(
      () => {
        this.#count(action.what.split(' ')[0] ?? '')
        this.#underWay.delete(action)
      },
      (error: unknown) => {
        throw new Error(`${action.what}: ${error}`, { cause: error })
      },
    )
    // One that begins late is waited for late.
    running.catch(() => undefined)
    this.#underWay.set(action, running)
  }

  /** Also what begins meanwhile. */
  async #allDone(job: Promise<void> | undefined): Promise<void> {
    await job
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.values())
  }

  /** Mostly none or short; while bytes are destroyed often as long as all of a push, and one comes. */
  #delay(call: string): Promise<void> | undefined {
    const isRemoval = call === 'remove' && this.#delays.chance(0.5)
    if (isRemoval && this.#isOpen) {
      const push = dealPushOfDoomed(this.#client)
      if (push !== undefined) this.#begin(push)
    }
    if (isRemoval || this.#delays.chance(0.01)) return turnsOfLoop(10 + this.#delays.below(40))
    return this.#delays.chance(0.25) ? turnsOfLoop(1 + this.#delays.below(4)) : undefined
  }

  async #afterKill(): Promise<void> {
    const undone = [...this.#underWay.keys()]
    this.#underWay.clear()
    this.#note(`killed, with ${undone.length} actions under way`)
    this.#count('kill')
    const prune = this.#job?.kind === 'prune' ? this.#job : undefined
    this.#job = undefined
    await this.#scene.restart()
    // As a server does when it starts.
    await this.#plan.onStart(this.#scene)
    for (const action of undone) await action.settle()
    if (prune !== undefined) await this.#settlePruned(!prune.isOver)
  }

  /** What the last run has taken is there again, while its window is open. */
  async #restore(): Promise<void> {
    const run = this.#last
    if (run === undefined) return
    this.#note(`restore ${run.id}`)
    const { nowMs } = this.#scene
    const deeds = await this.#plan.restore(this.#scene, run.id)
    for (const deed of deeds) {
      this.#count(deed.deed)
      enterDeed(this.#client, deed)
    }
    this.#last = undefined
    if (nowMs - run.startMs <= windowMs) await assertRestored(this.#client, run)
  }

  #startJob(): void {
    const chores = this.#plan.chores(this.#scene)
    const [gc] = chores
    const chore = this.#dice.chance(0.5) ? gc! : this.#dice.pick(chores)
    this.#note(`${chore.kind} starts`)
    this.#client.touched.clear()
    if (chore.kind === 'prune') {
      for (const repository of this.#repositories()) repository.beginPrune()
    }
    this.#job = new JobTurns(chore)
  }

  /** Sometimes all that it has left to do. */
  #turnsOfJob(): number {
    if (this.#job === undefined) return 0
    return this.#dice.chance(0.2) ? Number.POSITIVE_INFINITY : this.#dice.below(4)
  }

  #repositories(): readonly RepositoryModel[] {
    return [...this.#client.model.repositories.values()]
  }

  /** A run of prune is over, or was cut short: what is there now stays. */
  async #settlePruned(isCut: boolean): Promise<void> {
    for (const repository of this.#repositories()) {
      for (const tag of [...repository.tags.keys()]) {
        await settleTag(this.#scene, repository, tag, [])
      }
    }
    await this.#settleImages()
    for (const repository of this.#repositories()) repository.endPrune(isCut)
  }

  /** A tag that was too old from the start on has gone. Who goes on after a kill does not look back. */
  #assertPruned({ report, resumed, startMs }: JobRun): void {
    const { after = '' } = (resumed ?? {}) as { readonly after?: string }
    for (const repository of this.#repositories().filter(({ name }) => name > after)) {
      const left = [...repository.tags.keys()].filter((tag) => repository.isDue(tag, startMs))
      const what = `${left.join(' ')} of ${repository.name} is left`
      assert.deepEqual(left, [], `${what}: ${report.summary.join('; ')}`)
    }
  }

  async #endJob(): Promise<void> {
    const result = this.#job?.result
    if (result === undefined) return
    const kind = this.#job?.kind ?? ''
    this.#count(kind)
    this.#note(`${kind} is over`)
    if (kind === 'prune') {
      await this.#settlePruned(false)
      this.#assertPruned(result)
    }
    assert.equal(result.report.ok, true, result.report.summary.join('\n'))
    for (const { deed } of result.deeds) this.#count(deed)
    this.#last = { ...result, endMs: this.#scene.nowMs }
    this.#job = undefined
  }

  /** Mostly not at all, else to where leases, promises and windows end. */
  #moveClock(): void {
    if (this.#dice.chance(0.7)) return
    const half = graceMs / 2
    const near = [1, 1, 1000, 1000, graceMs / 4, half - 1, half, half + 1, graceMs]
    const far = [graceMs + 1, windowMs, windowMs + graceMs]
    this.#scene.advance(this.#dice.pick(this.#dice.chance(0.95) ? near : far))
  }

  /** Whatever is half done: records agree with each other and with files, and nothing that is named lacks. */
  async #check(): Promise<void> {
    const { records, blobs } = this.#scene.disk
    const state = await inspectStore(records.reader, blobs)
    assert.deepEqual(state.breaches, [])
  }

  /** All jobs to their ends with nobody else at work, until all that may go is gone; and no more. */
  async #rest(): Promise<void> {
    this.#note('rest')
    await this.#job?.finish()
    await this.#endJob()
    // A level of nested indexes a time.
    for (let level = 0; level < depthMax; level++) {
      this.#scene.advance(untaggedAfterMs + 1)
      await this.#collectAll()
      await this.#settleImages()
    }
    // Bytes whose record a kill has cut off get one, with a lease.
    await this.#runOnce('scrub')
    for (const ms of [graceMs + 1, windowMs + 1]) {
      this.#scene.advance(ms)
      await this.#collectAll()
    }
    const { records, blobs } = this.#scene.disk
    assert.deepEqual((await inspectStore(records.reader, blobs)).orphans, [], 'leaked bytes')
    await this.#check()
    const { model, world } = this.#client
    for (const repository of model.repositories.values()) {
      for (const digest of repository.images.keys()) {
        assert.ok(
          repository.isUsed(digest, this.#scene.nowMs),
          `${digest} of ${repository.name} is still there`,
        )
      }
      for (const blob of world.contents.keys()) {
        const expected = repository.presence(blob, this.#scene.nowMs)
        const target = `/v2/${repository.name}/blobs/${blob}`
        const { status } = await this.#scene.send('GET', target)
        assert.equal(status, expected === 'there' ? 200 : 404, `${expected}: ${target}`)
      }
    }
  }

  /** What nothing uses has gone, or its turn has not come. */
  async #settleImages(): Promise<void> {
    for (const repository of this.#repositories()) {
      for (const image of [...repository.images.values()]) {
        const target = `/v2/${repository.name}/manifests/${image.digest}`
        const { status } = await this.#scene.send('GET', target)
        const { nowMs } = this.#scene
        if (status === 200) repository.confirm(image.digest, nowMs)
        if (status === 200) continue
        assert.equal(repository.imagePresence(image.digest, nowMs), 'either', target)
        repository.lose(image, nowMs)
      }
    }
  }

  async #runOnce(kind: string): Promise<void> {
    const chore = this.#plan.chores(this.#scene).find((each) => each.kind === kind)
    const { report } = await chore!.run({})
    assert.equal(report.ok, true, report.summary.join('\n'))
  }

  async #collectAll(): Promise<void> {
    const { nowMs } = this.#scene
    await this.#runOnce('gc')
    for (const repository of this.#repositories()) repository.collected(nowMs)
    const { records, blobs } = this.#scene.disk
    const state = await inspectStore(records.reader, blobs)
    assert.deepEqual(
      state.leases.filter(({ timeMs }) => timeMs < nowMs),
      [],
      'leases that are over',
    )
    const over = state.dropped.filter(({ timeMs }) => timeMs < nowMs - windowMs)
    assert.deepEqual(over, [], 'what was dropped before the window')
    assert.deepEqual(state.destroying, [])
  }

  #note(text: string): void {
    this.#trail.push(`${this.#steps} ${this.#scene.nowMs} ${text}`)
    if (this.#trail.length > 200) this.#trail.splice(0, 100)
  }

  #count(kind: string): void {
    this.#tally[kind] = (this.#tally[kind] ?? 0) + 1
  }
}

async function turnsOfLoop(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate()
}

function uuidOf(dice: Dice): string {
  const digits = Array.from({ length: 32 }, () => dice.below(16).toString(16)).join('')
  const [a, b, c, d] = [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(13, 16),
    digits.slice(17, 20),
  ]
  return `${a}-${b}-4${c}-8${d}-${digits.slice(20)}`
}
