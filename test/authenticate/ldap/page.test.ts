// Goal: the recipes of docs/ldap.md are configurations that load and directories that can be asked.
// Method: each toml block of the page, beside a store and a file with the password.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ldapProblems } from '../../../src/authenticate/ldap/check.ts'
import { parseConfig } from '../../../src/config/load.ts'

const dir = mkdtempSync(join(tmpdir(), 'keelson-ldap-page-'))
after(() => rmSync(dir, { recursive: true, force: true }))
writeFileSync(join(dir, 'ldap-password'), 'secret\n', { mode: 0o600 })
const blocks = [...readFileSync('docs/ldap.md', 'utf8').matchAll(/^```toml\n(.*?)^```/gms)]

test('there is a recipe for each directory that the page names', () => {
  assert.equal(blocks.length, 4)
})

for (const [index, [, toml = '']] of blocks.entries()) {
  test(`recipe ${index + 1} loads, and its directory can be asked`, () => {
    const store = '\n[blob_store.fs]\nroot_dir = "/var/lib/keelson"\n'
    const env = { CREDENTIALS_DIRECTORY: dir }
    const config = parseConfig([{ file: '/etc/keelson/config.toml', text: toml + store }], env)
    assert.equal(config.auth.ldap.length, 1)
    for (const ldap of config.auth.ldap) assert.deepEqual(ldapProblems(ldap), [])
  })
}
