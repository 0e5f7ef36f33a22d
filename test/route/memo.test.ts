// Goal: targets that clients repeat have one Action object, and those that they make up fill no memory.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RouteMemo } from '../../src/route/memo.ts'

test('the same target has the same action, also when others came between', () => {
  const memo = new RouteMemo('GET')
  const first = memo.route('/v2/a/manifests/v1', '')
  for (let i = 0; i < 5000; i += 1) memo.route(`/v2/a/manifests/other${i}`, '')
  assert.equal(memo.route('/v2/a/manifests/v1', ''), first)
})

test('a long target is routed each time and kept by nobody', () => {
  const memo = new RouteMemo('GET')
  const query = `last=${'x'.repeat(600)}`
  const first = memo.route('/v2/a/tags/list', query)
  const second = memo.route('/v2/a/tags/list', query)
  assert.deepEqual(first, second)
  assert.notEqual(first, second)
})
