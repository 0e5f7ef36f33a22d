// Goal: what docs/limits.md tells operators to write works. Method: load every TOML block beside a store.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseIn, store } from './parse.ts'

const page = readFileSync('docs/limits.md', 'utf8')
const blocks = [...page.matchAll(/^```toml\n(.*?)^```/gms)].map((match) => match[1] ?? '')

for (const [index, text] of blocks.entries()) {
  test(`configuration ${index + 1} of the page of limits loads`, () => {
    parseIn({}, store, text)
  })
}

test('the limits of the page are what they say', () => {
  const { usage } = parseIn({}, store, blocks.join(''))
  const { rates, ...transfers } = usage
  assert.deepEqual(transfers, {
    uploadsPerIdentity: 24,
    pullsPerIdentity: 64,
    uploadRatePerIdentityBytes: 50 * 1024 * 1024,
  })
  const everything = rates.find(({ name }) => name === 'everything')
  assert.equal(everything?.periodMs, 60_000)
  assert.deepEqual(everything?.actions, [])
})
