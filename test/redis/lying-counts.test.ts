// Goal: whatever Redis answers, a count that cannot be true is none, so that the host goes on alone.
// Method: a link that says what the test wants.
import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import type { ScriptLink } from '../../src/redis/contract.ts'
import { RedisCounts } from '../../src/redis/shared-counts.ts'

test('an answer that cannot be true is none', async () => {
  let answer: unknown
  const link: ScriptLink = {
    ...{ isReady: true, run: async () => answer },
    ...{ confirm: () => {}, reset: () => {}, close: () => {} },
  }
  const hashKey = createSecretKey(Buffer.from('a key of the test'))
  const counts = new RedisCounts({ link, keyPrefix: 'keelson:', hashKey })
  const settle = (said: unknown, wasAlone = false): Promise<readonly number[]> => {
    answer = said
    const about = { bucket: 'a', tokensPerMs: 1, spent: 5, lacking: 7, wasAlone, lackingMax: 100 }
    return counts.settle([about])
  }
  assert.deepEqual(await settle(['5.000000']), [5])
  assert.deepEqual(await settle(['100.000000']), [100])
  assert.deepEqual(await settle(['12.000000'], true), [12])
  for (const lie of [
    '4.900000',
    '100.100000',
    '5',
    'nan',
    '-5.000000',
    '1e5.000000',
    5,
    null,
    {},
  ]) {
    await assert.rejects(settle([lie]), /a count/, String(lie))
  }
  await assert.rejects(settle(['11.900000'], true), /cannot be true/)
  for (const lie of [[], ['5.000000', '5.000000'], '5.000000', null, undefined, 7]) {
    await assert.rejects(settle(lie), /another form/)
  }
})
