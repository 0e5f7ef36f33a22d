// Which builds of uWebSockets.js are taken unasked.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { caution, cautionOf, native, uwsVersion } from '../../../src/server/transport/uws/native.ts'

test('only the builds that are known to stop reading are taken unasked', () => {
  assert.equal(cautionOf('3.0.6', '115'), undefined)
  const doubtful = [
    ['3.0.6', '127'],
    ['3.0.6', '137'],
    ['3.0.6', '141'],
    ['20.56.0', '115'],
    ['unknown', '115'],
  ] as const
  for (const [version, abi] of doubtful) {
    assert.match(
      cautionOf(version, abi) ?? '',
      new RegExp(`${version} for Node ABI ${abi} goes on`),
    )
  }
})

test('the build that loads here is judged by its own version', () => {
  const own = native === undefined ? undefined : cautionOf(uwsVersion, process.versions.modules)
  assert.equal(caution, own)
})
