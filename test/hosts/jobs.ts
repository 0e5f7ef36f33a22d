// Garbage collection and scrub by the admin sockets, one after the other, on whichever host the dice choose.

import assert from 'node:assert/strict'
import { adminCall, poll } from '../http/product.ts'
import type { Dice } from '../support/dice.ts'
import { within } from '../support/until.ts'
import type { HostNode } from './site.ts'
import type { Weather } from './weather.ts'

type Kind = 'gc' | 'scrub'

interface Job {
  readonly state: string
  readonly run?: string
  readonly outcome?: string
  readonly ok?: boolean
  readonly summary?: readonly string[]
}

const answerMsMax = 10_000
const operationsBetween = 20

export class Jobs {
  /** By kind and how they ended. */
  readonly ends: Map<string, number> = new Map()
  readonly #nodes: readonly HostNode[]
  #isStopped = false

  constructor(nodes: readonly HostNode[]) {
    this.#nodes = nodes
  }

  stop(): void {
    this.#isStopped = true
  }

  /** While `weather` is rough they may fail, and are begun anew. */
  async run(weather: Weather, dice: Dice): Promise<void> {
    for (let i = 0; !this.#isStopped; i++) {
      const kind = i % 3 === 2 ? 'scrub' : 'gc'
      const begunAt = performance.now()
      const end = await this.#once(dice.pick(this.#nodes), kind).catch((error: unknown) => {
        assert.ok(weather.mayBeHeld(begunAt), `${kind}: ${String(error)}`)
        return 'not started, or lost'
      })
      this.ends.set(`${kind} ${end}`, (this.ends.get(`${kind} ${end}`) ?? 0) + 1)
      const next = weather.ended + operationsBetween
      await poll(
        'clients are at work',
        async () => {
          return this.#isStopped || weather.ended >= next ? true : undefined
        },
        120_000,
      )
    }
  }

  /**
   * Errors: AssertionError where it finds anything. A scrub that goes on where another one was cut tells what that one could
   * not read during a fault: then a whole one decides.
   */
  async requireSound(node: HostNode, kind: Kind): Promise<readonly string[]> {
    const first = await this.#run(node, kind)
    const job = kind === 'scrub' && first.ok !== true ? await this.#run(node, kind) : first
    assert.deepEqual([job.state, job.outcome, job.ok], ['ended', 'ok', true], JSON.stringify(job))
    return job.summary ?? []
  }

  async #run(node: HostNode, kind: Kind): Promise<Job> {
    await poll(
      `${kind} can be started`,
      async () => {
        const { status } = await this.#start(node, kind)
        return status === 202 ? true : undefined
      },
      60_000,
    )
    return this.#ended(node, kind)
  }

  async #once(node: HostNode, kind: Kind): Promise<string> {
    const { status, body } = await this.#start(node, kind)
    // Another host has it still.
    if (status === 409) return 'held'
    assert.equal(status, 202, body)
    const { outcome, state } = await this.#ended(node, kind)
    return `${state} ${outcome ?? ''}`
  }

  #start(node: HostNode, kind: Kind): ReturnType<typeof adminCall> {
    const call = adminCall(
      node.adminSocket,
      '/jobs/start',
      'POST',
      JSON.stringify({ kind, input: {} }),
    )
    return within(`an answer of ${node.name}`, call, answerMsMax)
  }

  async #ended(node: HostNode, kind: Kind): Promise<Job> {
    return poll(
      `${kind} on ${node.name} ends`,
      async () => {
        const call = node.admin(`/jobs?kind=${kind}`)
        const { status, body } = await within(`an answer of ${node.name}`, call, answerMsMax)
        assert.equal(status, 200, body)
        const [job] = (JSON.parse(body) as { jobs: Job[] }).jobs
        return job !== undefined && job.state !== 'running' ? job : undefined
      },
      90_000,
    )
  }
}
