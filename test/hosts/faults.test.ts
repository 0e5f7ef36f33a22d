// Goal: servers on several hosts stay one registry whatever happens to them and to what they share: no wrong byte, nothing
// acknowledged is lost, what exists is never called absent, and after each fault all works again within a minute, by
// itself. Method: three hosts behind a balancer without affinity, clients that work all the time against a model of what
// they were told, one fault after the other, garbage collection and scrubs beside them. KEELSON_TEST_SEED repeats the
// choices, KEELSON_TEST_HOST_OPERATIONS sets the least number of operations.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { poll } from '../http/product.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { inOwnNetwork } from '../support/own-network.ts'
import { RegistryClient } from '../support/registry-client.ts'
import { needsBalancer, startBalancer } from './balancer.ts'
import { type Fault, faultsOf } from './faults.ts'
import { Holdings } from './holdings.ts'
import { inspect } from './inspection.ts'
import { Jobs } from './jobs.ts'
import { requireAllWorks } from './recovery.ts'
import { needsHosts, Site } from './site.ts'
import { Caller, Weather } from './weather.ts'
import { Worker } from './worker.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const operationsLeast = Number(process.env['KEELSON_TEST_HOST_OPERATIONS'] ?? 1000)
const longRun = 5000
const workerCount = 8
// Enough to hit each part of each way to push.
const operationsInFault = 20
const operationsInCalmLeast = 25
const faultMsMax = 60_000
const calmMsMax = 180_000
const toml = `
[gc]
grace = "1m"
restore_window = "0s"
every = "0s"
blobs_per_second = 100
[scrub]
every = "0s"
bytes_per_second = "20MiB"
`

inOwnNetwork(
  import.meta.filename,
  { skip: needsHosts.skip || needsBalancer.skip, timeoutMs: 1_200_000 },
  () => {
    test('three hosts stay one registry through every fault', {
      skip: needsHosts.skip || needsBalancer.skip,
      timeout: 1_150_000,
    }, async (t) => {
      t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
      const dice = new Dice(randomFrom(seed))
      const dir = await mkdtemp(join(tmpdir(), 'keel-front-'))
      const site = await Site.open()
      t.after(async () => {
        await site.close()
        await rm(dir, { recursive: true, force: true })
      })
      for (const name of ['host-a', 'host-b', 'host-c']) await site.add(name, toml)
      await Promise.all(site.nodes.map((node) => node.start()))
      const balancer = await startBalancer(dir, site.nodes)
      t.after(() => balancer.stop())
      const weather = new Weather()
      const clients: RegistryClient[] = []
      t.after(() => {
        for (const client of clients) client.close()
      })
      const common = new Holdings('common/images', String(seed))
      common.newTag()
      const workers = Array.from({ length: workerCount }, (_, i) => {
        const client = new RegistryClient(balancer.url)
        clients.push(client)
        const own = new Holdings(`own/worker-${i}`, String(seed))
        return new Worker({ own, common, caller: new Caller(client, weather), dice: dice.fork() })
      })
      const jobs = new Jobs(site.nodes)
      const begunAt = performance.now()
      const passed: string[] = []
      const jobsDice = dice.fork()

      const direct = async (): Promise<void> => {
        do {
          const faults = faultsOf(site, dice, operationsLeast >= longRun)
          for (const [index, fault] of faults.entries()) {
            // What is left, shared among the times before the faults that are left.
            const share = Math.ceil((operationsLeast - weather.ended) / (faults.length - index))
            const lasted = await pass(fault, Math.max(operationsInCalmLeast, share))
            passed.push(`${fault.name} (${lasted})`)
            t.diagnostic(passed.at(-1) ?? '')
          }
        } while (weather.ended < operationsLeast)
      }
      const untilEnded = async (count: number, atMost = faultMsMax): Promise<void> => {
        const goal = weather.ended + count
        await poll(
          `${count} operations end`,
          async () => weather.ended >= goal || undefined,
          atMost,
        )
      }
      const pass = async (fault: Fault, operationsInCalm: number): Promise<string> => {
        await untilEnded(operationsInCalm, calmMsMax)
        const faultAt = performance.now()
        weather.begin(fault.name, fault.scope)
        await fault.begin()
        await untilEnded(operationsInFault)
        await poll(
          `${fault.name} has lasted`,
          async () => performance.now() - faultAt >= fault.leastMs || undefined,
          faultMsMax,
        )
        await fault.heal()
        weather.healed()
        const healedAt = performance.now()
        await requireAllWorks(site.nodes)
        weather.calm()
        common.newTag()
        const ms = (from: number, to: number): number => Math.round(to - from)
        return `${ms(faultAt, healedAt)} ms, well again after ${ms(healedAt, performance.now())} ms`
      }

      const stop = (): void => {
        jobs.stop()
        for (const worker of workers) worker.stop()
      }
      const running = [...workers.map((worker) => worker.run()), jobs.run(weather, jobsDice)]
      // The first that fails ends the others.
      const guarded = [direct().finally(stop), ...running].map((each) =>
        each.catch((error: unknown) => {
          stop()
          throw error
        }),
      )
      const told = (counts: ReadonlyMap<string, number>): string =>
        [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
      try {
        await Promise.all(guarded)
      } catch (error) {
        const logs = site.nodes.map(
          ({ name, log }) => `${name}:\n${warnings(log).slice(-20).join('\n')}`,
        )
        logs.push(`balancer:\n${balancer.log.slice(-10).join('\n')}`)
        const where = `KEELSON_TEST_SEED=${seed}, ${weather.now}`
        throw new Error(`${where}: ${String(error)}\n${logs.join('\n')}`, { cause: error })
      } finally {
        await Promise.allSettled(guarded)
        const seconds = Math.round((performance.now() - begunAt) / 1000)
        t.diagnostic(
          `${weather.ended} operations, ${weather.requests} requests, ${passed.length} faults in ${seconds} s`,
        )
        t.diagnostic(`operations: ${told(weather.operations)}`)
        t.diagnostic(`failures: ${told(weather.failures)}`)
        t.diagnostic(`jobs: ${told(jobs.ends)}`)
      }

      // What nobody has heard of may be at work still: a stop ends all of it, and loses nothing.
      for (const node of site.nodes) {
        assert.deepEqual(
          await node.stop(),
          { code: 0, signal: null },
          node.log.slice(-20).join('\n'),
        )
      }
      await Promise.all(site.nodes.map((node) => node.start()))
      const all = [common, ...workers.map(({ own }) => own)]
      const found = await inspect(site, all)
      t.diagnostic(`found through three hosts: ${told(new Map(Object.entries(found)))}`)
      for (const [i, kind] of (['gc', 'scrub'] as const).entries()) {
        const node = site.nodes[i]
        assert.ok(node !== undefined)
        t.diagnostic(`${kind}: ${(await jobs.requireSound(node, kind)).join('; ')}`)
      }
      await inspect(site, all)
    })
  },
)

/** Without a line for each request. */
function warnings(log: readonly string[]): readonly string[] {
  return log.filter((line) => !line.startsWith('{"level":30'))
}
