// Goal: verdicts of questions that come again are found again, and no client fills the memory with them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Asked } from '../../../src/authorize/guard.ts'
import { WarmVerdicts } from '../../../src/authorize/warm-verdicts.ts'
import { act, user } from '../scene.ts'

const verdict = { result: 'allow', isCached: true, reason: null, decisionId: null } as const
const remembered = { verdict, untilMs: 1 }
const identity = user('alice')
const action = act('get-manifest')

function asking({ path = '/v2/a/manifests/v1', query = '', host = 'registry.test' }): Asked {
  return {
    ...{ method: 'GET', path, query, isSecure: false },
    header: (name) => (name === 'host' ? host : ''),
    clientIp: () => '::1',
  }
}

test('the same question is found, one with another host or query is not', () => {
  const warm = new WarmVerdicts()
  warm.add({ identity, action, asked: asking({}) }, '::1', remembered)
  assert.equal(warm.find({ identity, action, asked: asking({}) }, '::1'), remembered)
  for (const asked of [asking({ query: 'a' }), asking({ host: 'other.test' })]) {
    assert.equal(warm.find({ identity, action, asked }, '::1'), undefined)
  }
  assert.equal(warm.find({ identity, action, asked: asking({}) }, '::2'), undefined)
})

test('the longest name fits, and what a client makes longer is not kept', () => {
  const longest = `/v2/${'a'.repeat(255)}/manifests/sha512:${'b'.repeat(128)}`
  const long = 'x'.repeat(513)
  const isKept = (asked: Asked): boolean => {
    const warm = new WarmVerdicts()
    warm.add({ identity, action, asked }, '::1', remembered)
    return warm.find({ identity, action, asked }, '::1') !== undefined
  }
  assert.equal(isKept(asking({ path: longest })), true)
  for (const asked of [asking({ query: long }), asking({ host: long }), asking({ path: long })]) {
    assert.equal(isKept(asked), false)
  }
})
