// Goal: what docs/tls.md tells operators to write works. Method: load every TOML block beside a store;
// run the commands, and let check-config judge the blocks whose files they make.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../support/command-line.ts'
import { blocksOf } from '../support/page.ts'
import { run } from '../support/run.ts'
import { needs } from '../support/tools.ts'
import { parseIn, store } from './parse.ts'

const page = readFileSync('docs/tls.md', 'utf8')

const configurations = blocksOf(page, 'toml')

for (const [index, text] of configurations.entries()) {
  test(`configuration ${index + 1} of the page loads`, () => {
    // The one secret of the page is a credential, which systemd would put there.
    const folder = mkdtempSync(join(tmpdir(), 'keelson-tls-page-'))
    try {
      writeFileSync(join(folder, 'key-passphrase'), 'hush', { mode: 0o600 })
      parseIn({ CREDENTIALS_DIRECTORY: folder }, store, text)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
}

test('check-config accepts what the commands of the page make', needs('openssl'), async () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-tls-page-'))
  try {
    await run('bash', ['-c', `set -euo pipefail\n${blocksOf(page, 'bash').join('')}`], {
      cwd: folder,
    })
    let judged = 0
    for (const text of configurations) {
      const needsMore = /client_crls|ocsp_response|"\/etc\//.test(text)
      if (needsMore || !text.includes('[server.tls]')) continue
      const file = join(folder, 'config.toml')
      writeFileSync(file, `${text}\n${store}`)
      const { code, err } = await runCommand(['-c', file, 'check-config'], folder)
      assert.equal(code, 0, err)
      judged += 1
    }
    assert.equal(judged, 5)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
