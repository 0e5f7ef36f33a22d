// Goal: what is remembered of verdicts is bounded, ends in time and is the verdict of its question.
// Method: small bounds and a clock of the test's own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Verdict, VerdictResult } from '../../src/authorize/guard.ts'
import { type Told, VerdictCache } from '../../src/authorize/verdict-cache.ts'
import { WarmVerdicts } from '../../src/authorize/warm-verdicts.ts'
import { around } from './guard-contract.ts'
import { requested, user } from './scene.ts'

function told(result: VerdictResult, holds = true): Told {
  return { verdict: { result, isCached: false, reason: 'why', decisionId: null }, holds }
}

function scene(entriesMax: number) {
  const clock = { nowMs: 0 }
  const cache = new VerdictCache({ ttlMs: 100, entriesMax, elapsed: () => clock.nowMs })
  const asked: string[] = []
  const ask = (question: string, answer: Told = told('allow')): Verdict | Promise<Verdict> => {
    const key = cache.keyOf(question)
    const known = cache.find(key)
    if (known !== undefined) return known.verdict
    const put = (): Promise<Told> => {
      asked.push(question)
      return Promise.resolve(answer)
    }
    return cache.share(key, put).then(({ verdict }) => verdict)
  }
  return { clock, cache, asked, ask }
}

test('the one that was used longest ago makes room', async () => {
  const { cache, asked, ask } = scene(3)
  for (const question of ['a', 'b', 'c', 'a', 'd', 'b']) await ask(question)
  assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'b'])
  assert.equal(cache.size, 3)
  for (const question of ['a', 'd', 'b']) assert.ok(!(ask(question) instanceof Promise))
})

test('a verdict that holds is remembered as it was, and says so; others are not', async () => {
  const { clock, cache, ask } = scene(3)
  for (const result of ['allow', 'deny'] as const) {
    assert.equal((await ask(result, told(result))).isCached, false)
    const again = await ask(result, told('unavailable'))
    assert.deepEqual(again, { ...told(result).verdict, isCached: true })
  }
  await ask('lost', told('unavailable', false))
  assert.ok(ask('lost') instanceof Promise)
  await ask('lost')
  clock.nowMs = 100
  assert.ok(ask('allow') instanceof Promise)
  assert.ok(cache.size <= 3)
})

test('those who ask while one is being asked get its answer, and it is asked once', async () => {
  const { asked, ask } = scene(3)
  const verdicts = await Promise.all([ask('a', told('deny')), ask('a'), ask('b')])
  assert.deepEqual(
    verdicts.map(({ result }) => result),
    ['deny', 'deny', 'allow'],
  )
  assert.deepEqual(asked, ['a', 'b'])
})

test('warm verdicts are found for the same request alone, and are bounded', () => {
  const warm = new WarmVerdicts()
  const identity = user('alice')
  const action = requested('GET', '/v2/a/manifests/v1')
  const asked = around()
  const question = { identity, action, asked }
  const address = (i: number): string => `10.0.${i >> 8}.${i & 255}`
  const remembered = (i: number) => ({ verdict: told('allow').verdict, untilMs: i })
  for (let i = 0; i < 16_384; i += 1) warm.add(question, address(i), remembered(i))
  for (let i = 0; i < 16_384; i += 1) {
    assert.equal(warm.find(question, address(i))?.untilMs, i)
  }
  for (const other of [
    { ...question, identity: user('alice') },
    { ...question, action: requested('GET', '/v2/a/manifests/v1') },
    ...[
      { method: 'HEAD' },
      { path: '/v2/b' },
      { query: 'a' },
      { isSecure: false },
      { host: 'b' },
    ].map((changes) => ({ ...question, asked: around(changes) })),
  ]) {
    assert.equal(warm.find(other, address(0)), undefined)
  }
  warm.add(question, address(16_384), remembered(16_384))
  assert.equal(warm.find(question, address(16_384))?.untilMs, 16_384)
  assert.equal(warm.find(question, address(0)), undefined, 'it began anew')

  const write = { ...question, asked: around({ method: 'PUT' }) }
  warm.add(write, address(1), remembered(1))
  assert.equal(warm.find(write, address(1)), undefined, 'a write never comes again')
})
