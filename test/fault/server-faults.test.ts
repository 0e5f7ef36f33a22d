// Goal: whatever call of a store fails, the client gets an error that tells nothing, the state is old or
// new, nothing is left in use, and the same request then succeeds. Method: a wrapper fails the 1st, 2nd,
// 3rd … call of a pass over all that the registry does, until a pass meets no fault; what can be seen
// after each step is compared with a pass without faults.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ErrorCode, errorTable } from '../../src/oci/error.ts'
import type { Answer } from '../support/registry-client.ts'
import { until } from '../support/until.ts'
import { InProcess } from './in-process.ts'
import {
  type FaultKind,
  type FaultPlan,
  type Moment,
  PlantedFault,
  secret,
} from './planted-fault.ts'
import { Pass, type Step } from './script.ts'

type View = Readonly<Record<string, unknown>>

const answers: Readonly<Record<FaultKind, ErrorCode>> = {
  unavailable: 'UNAVAILABLE',
  full: 'STORAGE_FULL',
  unexpected: 'INTERNAL',
}

const plans: readonly (readonly [FaultKind, Moment])[] = [
  ['unavailable', 'before'],
  ['unavailable', 'after'],
  ['full', 'before'],
  ['unexpected', 'after'],
]

// More calls than a pass makes, in case it never ends.
const callsMax = 500

/** A well-formed error that says nothing but its code and an id. */
function assertSaysNothing(answer: Answer, step: Step, kind: FaultKind): void {
  const code = answers[kind]
  assert.equal(answer.status, errorTable[code].status, `${step.name}: ${answer.body}`)
  if (step.name.startsWith('head')) {
    assert.equal(answer.body.length, 0)
    return
  }
  const { errors } = JSON.parse(answer.body.toString()) as { errors: { detail: object }[] }
  assert.equal(errors.length, 1)
  const [{ detail, ...error }] = errors as [{ detail: { requestId?: string } }]
  assert.deepEqual(error, { code, message: errorTable[code].message })
  assert.deepEqual(Object.keys(detail), ['requestId'])
  assert.match(detail.requestId ?? '', /^[0-9a-f-]{36}$/)
  const everything = JSON.stringify(answer.headers) + answer.body.toString()
  assert.ok(!everything.includes(secret) && !everything.includes('Error'), everything)
}

for (const shared of [false, true]) {
  describe(shared ? 'storage faults, shared store' : 'storage faults, exclusive store', () => {
    const fault = new PlantedFault()
    /** Before the first step, and after each. */
    const views: View[] = []
    let registry: InProcess
    let passes = 0
    let agedMs = 0

    before(async () => {
      const wrap = fault.wrap.bind(fault)
      const now = (): number => Date.now() + agedMs
      registry = await InProcess.open({ wrap, registry: { shared, now } })
    })
    after(() => registry.close())

    function newPass(): Pass {
      passes += 1
      return new Pass(registry, `pass-${passes}`, () => {
        agedMs += 0.6 * registry.registry.limits.graceMs
      })
    }

    async function assertNothingIsLeft(): Promise<void> {
      await registry.assertAtRest()
      registry.registry.readers.close()
      assert.equal(registry.registry.uploads.size, 0, 'a session is still counted as open')
    }

    test('a pass without a fault leaves what it should', async () => {
      const pass = newPass()
      views.push(await pass.look())
      for (const step of pass.steps) {
        const { status, body } = await step.send()
        assert.equal(status, step.status, `${step.name}: ${body}`)
        views.push(await pass.look())
      }
      await assertNothingIsLeft()
      const staged = join(registry.rootDir, '_keelson', 'uploads')
      let files: string[] = []
      await until('nothing is staged', () => {
        void readdir(staged).then((found) => {
          files = found
        })
        return files.length === 0
      })
    })

    /** True where the fault was met. */
    async function runWith(plan: FaultPlan): Promise<boolean> {
      const pass = newPass()
      fault.arm(plan)
      for (const [i, step] of pass.steps.entries()) {
        const wasStruck = fault.struck !== undefined
        const answer = await step.send()
        if (answer.status !== step.status) {
          const what = `${step.name} after a fault in ${fault.struck}`
          assert.ok(!wasStruck && fault.struck !== undefined, `${what}: ${answer.status}`)
          assertSaysNothing(answer, step, plan.kind)
          await registry.assertAtRest()
          await assertOldOrNew(pass, i, what)
          assert.ok(await step.retry(), `${what}: it cannot be repeated`)
        }
        if (!wasStruck && fault.struck !== undefined) await assertNew(pass, i, step)
      }
      await assertNew(pass, pass.steps.length - 1)
      await assertNothingIsLeft()
      return fault.struck !== undefined
    }

    async function assertOldOrNew(pass: Pass, i: number, what: string): Promise<void> {
      const seen = JSON.stringify(await fault.pausedFor(() => pass.look()))
      const allowed = [views[i], views[i + 1]].map((view) => JSON.stringify(view))
      assert.ok(allowed.includes(seen), `${what}: ${seen} is neither of\n${allowed.join('\n')}`)
    }

    async function assertNew(pass: Pass, i: number, step?: Step): Promise<void> {
      const seen = await fault.pausedFor(() => pass.look())
      assert.deepEqual(seen, views[i + 1], `${step?.name ?? 'end'}, fault in ${fault.struck}`)
    }

    for (const [kind, moment] of shared ? plans.slice(0, 2) : plans) {
      test(`a fault "${kind}" ${moment} any one call costs one error and nothing else`, async (t) => {
        let call = 1
        while (await runWith({ call, kind, moment })) {
          call += 1
          assert.ok(call < callsMax)
        }
        t.diagnostic(`${call - 1} calls failed, one a pass`)
      })
    }
  })
}
