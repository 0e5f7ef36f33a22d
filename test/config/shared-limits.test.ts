// Goal: a limit that is to be shared is refused where nothing shares it. Method: load what is right, and
// what lacks a part of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'

const redis = '[redis]\nurl = "redis://127.0.0.1"\n'
const hashKey = `hash_key = "${'0123456789abcdef'.repeat(2)}"\n`

function load(toml: string, shared = true): Config {
  const limit = `[limits.rate.pulls]\nrequests = 7\nshared = ${shared}\n`
  const text = `[global.access_policy]\n[blob_store.memory]\n[metadata_store.memory]\n${limit}${toml}`
  return parseConfig([{ file: 'a.toml', text }])
}

function refusal(toml: string): string {
  try {
    load(toml)
  } catch (error) {
    return String(error)
  }
  return ''
}

test('a shared limit needs a Redis, and the key by which callers are hashed', () => {
  const config = load(redis + hashKey)
  assert.equal(config.usage.rates[0]?.shared, true)
  assert.equal(config.redis?.hashKey?.reveal().length, 32)
  assert.match(refusal(''), /limits\.rate\.pulls\.shared: expected \[redis\] with hash_key/)
  assert.match(refusal(redis), /limits\.rate\.pulls\.shared: expected redis\.hash_key beside it/)
})

test('a limit that is not shared needs neither', () => {
  assert.equal(load('', false).usage.rates[0]?.shared, false)
  assert.equal(load(redis, false).redis?.hashKey, undefined)
})

test('a short key is refused, and not told', () => {
  const message = refusal(`${redis}hash_key = "too-short-for-a-key"\n`)
  assert.match(message, /redis\.hash_key: expected at least 32 characters/)
  assert.ok(!message.includes('too-short'))
})
