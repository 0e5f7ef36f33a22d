// Goal: a run that begins or ends while its record is read does not look abandoned. Method: a store whose answers come
// late, as over a network, by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobKind } from '../../../src/storage/metadata/job-store.ts'
import { fine, Host, ScriptedJob, started } from './scene.ts'

interface Turn {
  readonly come: Promise<void>
  take(): void
}

function turn(): Turn {
  let take = (): void => {}
  const come = new Promise<void>((resolve) => {
    take = resolve
  })
  return { come, take: () => take() }
}

test('the end', async () => {
  const job = new ScriptedJob()
  const host = new Host(job)
  const { runner } = host.process('one')
  const go = turn()
  job.run = async () => {
    await go.come
    return fine
  }
  const { done } = await started({ runner })
  const readJob = host.metadata.readJob.bind(host.metadata)
  let reads = 0
  const readLate = async (kind: JobKind): Promise<unknown> => {
    reads += 1
    const found = readJob(kind)
    go.take()
    await done
    return found
  }
  Object.assign(host.metadata, { readJob: readLate })
  const record = await runner.readRecord('gc')
  assert.equal(reads, 2)
  assert.ok(record?.endedAtMs !== undefined)
  assert.equal(runner.isAbandoned(record), false)
})

test('the begin', async () => {
  const host = new Host(new ScriptedJob())
  const { runner } = host.process('one')
  const claimJob = host.metadata.claimJob.bind(host.metadata)
  const claimed = turn()
  const told = turn()
  const claimLate = async (...claim: Parameters<typeof claimJob>): Promise<unknown> => {
    const found = await claimJob(...claim)
    claimed.take()
    await told.come
    return found
  }
  Object.assign(host.metadata, { claimJob: claimLate })
  const starting = started({ runner })
  await claimed.come
  const record = await runner.readRecord('gc')
  assert.ok(record !== undefined && record.endedAtMs === undefined)
  assert.equal(runner.isAbandoned(record), false)
  told.take()
  await (await starting).done
})

test('no end for ever', async () => {
  const host = new Host(new ScriptedJob())
  const { runner } = host.process('one')
  const readJob = host.metadata.readJob.bind(host.metadata)
  let reads = 0
  const readBusily = async (kind: JobKind): Promise<unknown> => {
    reads += 1
    const found = readJob(kind)
    // A start reads it, too.
    Object.assign(host.metadata, { readJob })
    await (await started({ runner })).done
    Object.assign(host.metadata, { readJob: readBusily })
    return found
  }
  Object.assign(host.metadata, { readJob: readBusily })
  await runner.readRecord('gc')
  assert.equal(reads, 4)
})
