// Goal: the budget of docs/memory.md has the defaults of the configuration. Method: each key of its tables that
// is followed by a value, against config.example.toml.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'smol-toml'
import { projectRoot } from '../support/server.ts'

const page = readFileSync(join(projectRoot, 'docs', 'memory.md'), 'utf8')
const example: unknown = parse(readFileSync(join(projectRoot, 'config.example.toml'), 'utf8'))

function defaultOf(path: string): unknown {
  return path.split('.').reduce<unknown>((table, part) => {
    return typeof table === 'object' && table !== null ? Reflect.get(table, part) : undefined
  }, example)
}

const quoted = [...page.matchAll(/`([a-z_.]+)` = `([^`]+)`/g)].map(([, key = '', value = '']) => {
  return { key, value }
})

test('the page quotes the keys that bound memory', () => {
  const keys = quoted.map(({ key }) => key)
  const bounds = ['memory_budget', 'body_budget'].map((key) => `ingest.${key}`)
  for (const key of [...bounds, 'cache.reply_bytes', 'global.max_manifest_size']) {
    assert.ok(keys.includes(key), key)
  }
})

for (const { key, value } of quoted) {
  test(`${key} is ${value} by default`, () => {
    assert.deepEqual(parse(`value = ${value}`)['value'], defaultOf(key))
  })
}
