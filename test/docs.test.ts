// Goal: what the repository says of itself is true. Method: generate the files again and compare.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { generateDocs } from '../scripts/docs.ts'
import { loadConfig, parseConfig } from '../src/config/load.ts'
import { schema } from '../src/config/schema.ts'
import { errorTable } from '../src/oci/error.ts'

const generated = generateDocs()

for (const [path, text] of generated) {
  test(`${path} is what npm run docs writes`, () => {
    assert.equal(readFileSync(path, 'utf8'), text)
  })
}

test('the example configuration loads, denies everything, and has the defaults', () => {
  const example = loadConfig(['config.example.toml'])
  const bare = parseConfig([
    {
      file: '/etc/keelson/config.toml',
      text: '[global.access_policy]\n[blob_store.fs]\nroot_dir = "/var/lib/keelson"',
    },
  ])
  assert.deepEqual(example, bare)
  assert.equal(example.global.accessPolicy.default, 'deny')
})

test('the example configuration loads with every commented key made active', () => {
  const text = (generated.get('config.example.toml') ?? '').replaceAll(/^# (\w+ = )/gm, '$1')
  const config = parseConfig([{ file: '/etc/keelson/config.toml', text }])
  assert.equal(config.server.externalUrl, 'https://registry.example.com')
})

test('every key and every error code is in its page', () => {
  for (const [table, { keys }] of Object.entries(schema)) {
    const page = generated.get('docs/configuration.md') ?? ''
    const section = page.split(`## [${table}]\n`)[1]?.split('\n## ')[0] ?? ''
    for (const key of Object.keys(keys)) assert.ok(section.includes(`| \`${key}\` |`), key)
  }
  for (const code of Object.keys(errorTable)) {
    assert.ok(generated.get('docs/errors.md')?.includes(`| \`${code}\` |`), code)
  }
})
