// Goal: the secret scan sees secrets and leaves ordinary text alone. Method: a sample of each kind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findSecrets, sampleSecrets } from '../../scripts/secret-scan.ts'

for (const [name, secret] of sampleSecrets()) {
  test(`it finds a ${name} inside other text, without repeating it`, () => {
    assert.deepEqual(findSecrets(`first line\nvalue = "${secret}" # more`), [`2: ${name}`])
  })
}

test('it leaves digests, placeholders and addresses alone', () => {
  const text = [
    `sha256:${'0123456789abcdef'.repeat(4)}`,
    'http://127.0.0.1:8000/v2/a/b@sha256:0123',
    'https://$USER:$PASSWORD@registry.example.com/',
    `\${url}/v2/:name@tag`,
    '-----BEGIN CERTIFICATE-----',
    'git@example.com:keelson/keelson.git',
  ].join('\n')
  assert.deepEqual(findSecrets(text), [])
})
