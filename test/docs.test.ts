// Goal: what the repository says of itself is true. Method: generate the files again and compare.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { generateDocs, header } from '../scripts/docs.ts'
import type { Section } from '../src/config/entry.ts'
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
  assert.equal(example.global.accessPolicy?.default, 'deny')
})

test('the example configuration loads with every commented line made active', () => {
  const text = (generated.get('config.example.toml') ?? '')
    .replaceAll(/^# (\w+ = |\[)/gm, '$1')
    // What excludes something else that the example shows.
    .replace(/^\[server\]\n[\s\S]*?^transport/m, '[server]\ntransport')
    .replaceAll(/^socket(_mode)? = .*registry.*\n|^socket_mode = .*\n/gm, '')
    .replaceAll(/^\[(blob|metadata)_store\.memory\]\n/gm, '')
    .replace(/^\[blob_store\.s3\]\n[\s\S]*?^(?=\[)/m, '')
    .replace(/^\[metadata_store\.postgres\]\n[\s\S]*?^(?=\[)/m, '')
    .replaceAll(/^(cluster|bearer_token) = .*\n/gm, '')
  const config = parseConfig([{ file: '/etc/keelson/config.toml', text }])
  assert.equal(config.server.externalUrl, 'https://registry.example.com')
  assert.equal(config.tls?.clientCaBundle, '/etc/keelson/tls/client-ca-bundle.pem')
  assert.deepEqual(config.listeners, [
    { kind: 'tcp', address: '0.0.0.0', port: 8443, tls: true, proxyProtocol: false },
  ])
  const team = config.repositories.find(({ prefix }) => prefix === 'team/app')
  assert.equal(team?.accessPolicy?.rules.length, 1)
})

test('every key and every error code is in its page', () => {
  const sections: readonly (readonly [string, Section])[] = Object.entries(schema)
  for (const [table, section] of sections) {
    const page = generated.get('docs/configuration.md') ?? ''
    const text = page.split(`## ${header(table, section)}\n`)[1]?.split('\n## ')[0] ?? ''
    for (const key of Object.keys(section.keys)) assert.ok(text.includes(`| \`${key}\` |`), key)
  }
  for (const code of Object.keys(errorTable)) {
    assert.ok(generated.get('docs/errors.md')?.includes(`| \`${code}\` |`), code)
  }
})
