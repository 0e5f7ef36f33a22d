// Goal: what maintenance does is in the audit log, whole and bounded, and a job waits where that has no room
// rather than do what is not recorded. Method: an audit log over a file, and a pacer that asks it.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Audit, openAudit } from '../../src/audit/audit.ts'
import { Pacer } from '../../src/maintain/job/pace.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { FakeClock } from '../maintain/job/fake-clock.ts'
import { openFolder, recordsIn } from './scene.ts'

async function open(file: string, onFull: 'refuse' | 'drop'): Promise<Audit> {
  return openAudit(
    {
      ...{ file, onFull, allow: [], queueMax: 16 },
      ...{ hashChain: false, sync: 'none', anonymous: true },
    },
    {
      plain: { decision: () => {}, login: () => {}, token: () => {}, tokenAdmin: () => {} },
      log: createLog({ level: 'silent', format: 'json' }).log,
      now: () => Date.UTC(2026, 0, 2),
      elapsed: () => performance.now(),
      randomUuid: () => crypto.randomUUID(),
    },
  )
}

const deed = { job: 'gc', run: 'run-1', deed: 'destroy-blob', reason: 'old' }

test('a deed is a record, with null for what it has not, and texts that end', async (t) => {
  const file = join(await openFolder(t), 'audit.jsonl')
  const audit = await open(file, 'refuse')
  audit.maintenance({ ...deed, digest: 'sha256:ab', bytes: 12 })
  audit.maintenance({ ...deed, repository: 'team/app', tag: 'v1', reason: 'x'.repeat(2_000) })
  await audit.close()
  const [first, second] = recordsIn(file)
  assert.deepEqual(first, {
    ...{ time: '2026-01-02T00:00:00.000Z', seq: 1, kind: 'maintenance', ...deed },
    ...{ repository: null, digest: 'sha256:ab', tag: null, bytes: 12 },
  })
  assert.equal(second?.['reason'], `${'x'.repeat(1024)}…[+976]`)
})

test('what was done is recorded though the queue is full, and a job waits until it is not', async (t) => {
  const file = join(await openFolder(t), 'audit.jsonl')
  const audit = await open(file, 'refuse')
  const clock = new FakeClock()
  const pacer = new Pacer({
    ...{ clock, hasRoom: () => audit.hasRoom(), load: () => 0, check: () => {} },
    rates: () => ({ itemsPerSecond: 0, bytesPerSecond: 0 }),
    signal: new AbortController().signal,
  })
  // Within one turn of the event loop nothing is written.
  for (let count = 0; count < 40; count += 1) audit.maintenance(deed)
  assert.equal(audit.hasRoom(), false)
  const before = clock.elapsed()
  let isLetGo = false
  const waits = pacer.wait({ items: 1, bytes: 0 }).then(() => {
    isLetGo = true
  })
  await Promise.resolve()
  assert.equal(isLetGo, false)
  while (!isLetGo) await clock.pass(100)
  await waits
  assert.ok(clock.elapsed() > before)
  assert.equal(audit.hasRoom(), true)
  assert.equal(audit.figures()?.refused, 0)
  await audit.close()
  assert.equal(recordsIn(file).length, 40)
})

test('with "drop" a job does not wait, and what is lost is counted', async (t) => {
  const file = join(await openFolder(t), 'audit.jsonl')
  const audit = await open(file, 'drop')
  for (let count = 0; count < 40; count += 1) audit.maintenance(deed)
  assert.equal(audit.hasRoom(), true)
  assert.equal(audit.figures()?.dropped, 24)
  await audit.close()
  const dropped = recordsIn(file).find(({ event }) => event === 'records_dropped')
  assert.equal(dropped?.['dropped'], 24)
})
