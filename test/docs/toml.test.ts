// Goal: every configuration that a page shows is one that the program takes. Method: each toml block is
// loaded beside a store, with the secrets that it names, and its policies and rules are compiled.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { compilePolicies } from '../../src/authorize/policy/compile.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { checkRules } from '../../src/runtime/rules.ts'
import { type Block, pages, readBlocks } from './page-blocks.ts'

// A secret that is good for every key: passwords are given as hashes, which these letters are one of.
const secret =
  '$argon2id$v=19$m=19456,t=2,p=1$NDhkaGZoNDhkaGZoNDhkag$Zk2xwTJQy7fQOYm7Jm4Fm2fRfW3B3ZJ0Wz2v4r3v7Zg'
// Of `[blob_store.fs.encryption]`, which has to be one.
const blobKeys = '0123456789abcdef'.repeat(4)
const secretOf = (name: string): string => (basename(name) === 'blob-keys' ? blobKeys : secret)
const folder = mkdtempSync(join(tmpdir(), 'keelson-docs-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** The block as a whole configuration, with `/etc/keelson` in a folder of the test's. */
function load(text: string): Config {
  const env: Record<string, string> = { CREDENTIALS_DIRECTORY: folder }
  for (const [, kind, name = ''] of text.matchAll(/\{ (env|file|credential) = "([^"]+)" \}/g)) {
    if (kind === 'env') env[name] = secretOf(name)
    else writeFileSync(join(folder, basename(name)), secretOf(name), { mode: 0o600 })
  }
  const inFolder = text.replaceAll(/(\{ file = ")[^"]*?([^"/]+" \})/g, `$1${folder}/$2`)
  const stores = /^\[blob_store/m.test(text) ? '' : '[blob_store.fs]\nroot_dir = "/srv/registry"\n'
  return parseConfig([{ file: join(folder, 'config.toml'), text: `${inFolder}\n${stores}` }], env)
}

function loadAndCompile({ text }: Block): void {
  const config = load(text)
  const { problems } = compilePolicies(config.global.accessPolicy, config.repositories)
  assert.deepEqual(problems, [])
  assert.deepEqual(checkRules(config, []), [])
}

for (const page of pages()) {
  const blocks = readBlocks(page).filter(
    ({ language, mark }) => language === 'toml' && mark.kind !== 'not-run',
  )
  if (blocks.length === 0) continue
  describe(`the configurations of ${page}`, () => {
    for (const block of blocks) {
      test(`load: line ${block.line}`, () => loadAndCompile(block))
    }
  })
}

test('a key that there is not is told', () => {
  assert.throws(() => load('[server]\nprot = 8000\n'), /server\.prot: is not a known key/)
})
