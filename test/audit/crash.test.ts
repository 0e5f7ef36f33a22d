// Goal: a process that is killed loses at most what waited: what it knew to be written is there, the
// chain holds, and the next process goes on with it. Method: SIGKILL to a writer, again and again on one
// file.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { verifyFiles } from '../../src/audit/verify.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { openFolder, openQueue } from './scene.ts'

const own = fileURLToPath(import.meta.url)
const writer = own.replace('crash.test.', 'crash-writer.')
const rounds = 5

/** Kills it after so many messages; the last record that it knew to be written. */
async function killWriter(path: string, messages: number): Promise<number> {
  const child = spawn(process.execPath, [writer, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let known = 0
  let heard = 0
  for await (const line of createInterface(child.stdout)) {
    known = Number(line)
    heard += 1
    if (heard === messages) child.kill('SIGKILL')
  }
  assert.deepEqual(await exited, [null, 'SIGKILL'])
  return known
}

test('what was written stays, however often the writer is killed', async (t) => {
  const path = join(await openFolder(t), 'audit.jsonl')
  const dice = new Dice(randomFrom(7))
  for (let round = 0; round < rounds; round += 1) {
    const known = await killWriter(path, 20 + dice.below(60))
    const { problem, last } = await verifyFiles([path])
    assert.equal(problem, undefined)
    assert.ok((last?.seq ?? 0) >= known, `${last?.seq} of ${known}`)
  }
  const { queue, add } = await openQueue(path)
  add(1)
  await queue.close(5_000)
  const { problem, openBytes, records, last, torn } = await verifyFiles([path])
  assert.deepEqual([problem, openBytes], [undefined, 0])
  assert.equal(records, last?.seq)
  t.diagnostic(`${records} records, ${torn} torn`)
})
