// Goal: whoever may read or change what decides about access is told. Method: a table of modes and owners;
// real files for what is read of them.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { checkFiles, type FileFacts, type OwnedFacts } from '../../src/doctor/check/files.ts'
import { openHost } from '../../src/doctor/host.ts'
import { readFiles } from '../../src/doctor/probe/files.ts'
import { fakeHost } from './fake-tree.ts'
import { said } from './said.ts'

const owned = (mode: number | undefined, more: Partial<OwnedFacts> = {}): OwnedFacts => ({
  ...{ path: '/p', mode, uid: mode === undefined ? undefined : 0, mayWrite: true, ...more },
})

const well: FileFacts = {
  configFiles: [],
  hasLiteralSecrets: false,
  privateFiles: [],
  stores: [],
  adminSocket: undefined,
  adminFolder: undefined,
  auditFile: undefined,
  uid: 0,
}

const says = (facts: Partial<FileFacts>): string =>
  said(checkFiles({ ...well, ...facts })).join('\n')

describe('the check of files', () => {
  test('a configuration is changed by its owner alone, who is one of us', () => {
    const of = (
      mode: number | undefined,
      more: Partial<OwnedFacts> & { readonly folderMode?: number } = {},
      facts: Partial<FileFacts> = {},
    ): string => {
      const folder = { path: '/etc', mode: more.folderMode ?? 0o755, uid: 0 }
      return says({ configFiles: [{ ...owned(mode, more), folder }], ...facts })
    }
    assert.equal(of(0o644), 'ok configuration file /p: mode 0644')
    assert.match(of(0o646), /^error .*mode 0646: everybody may change it$/)
    assert.match(of(0o664), /^warning .*mode 0664: its group may change it$/)
    assert.match(of(0o644, { folderMode: 0o777 }), /^error .*replace it: \/etc has mode 0777$/)
    assert.match(of(0o644, { folderMode: 0o1777 }), /^ok/)
    assert.match(
      of(0o644, {}, { hasLiteralSecrets: true }),
      /^warning .*everybody may read it, and/,
    )
    assert.match(of(0o640, {}, { hasLiteralSecrets: true }), /^ok/)
    assert.match(of(0o640, { uid: 1000 }), /^warning .*it belongs to user 1000, who can change it$/)
    assert.match(of(0o640, { uid: 1000 }, { uid: 1000 }), /^ok/)
    const stores = [owned(0o700, { uid: 990 })]
    assert.match(of(0o640, { uid: 990 }, { stores }), /^ok configuration file/)
    assert.match(of(undefined), /^unknown/)
  })

  test('a store is for its owner, who asks', () => {
    const of = (mode: number | undefined, more: Partial<OwnedFacts> = {}, uid = 0): string =>
      says({ stores: [owned(mode, more)], uid })
    assert.match(of(undefined), /^ok store \/p: it is made at the first start$/)
    assert.match(of(0o700), /^ok store \/p: mode 0700$/)
    assert.match(of(0o750), /^ok/)
    assert.match(of(0o755), /^warning store \/p: mode 0755: everybody may read it$/)
    assert.match(of(0o777), /^error store \/p: mode 0777: everybody may change it$/)
    assert.match(of(0o700, { mayWrite: false }, 7), /^error .*user 7 may not write it; .*user 0$/)
    assert.match(of(0o700, { uid: 990 }), /^advice .*it belongs to user 990, and root asks$/)
  })

  test('the admin socket is for its owner, wherever it is', () => {
    const of = (mode: number | undefined, folderMode = 0o700): string =>
      says({ adminSocket: owned(mode), adminFolder: owned(folderMode) })
    assert.match(of(undefined), /^ok admin socket \/p: it is made when the server starts$/)
    assert.match(of(0o600), /^ok/)
    assert.match(of(0o660), /^error .*mode 0660: others may open it$/)
    assert.match(of(0o600, 0o777), /^error .*everybody may replace it/)
    assert.match(of(0o600, 0o1777), /^ok/)
  })

  test('the audit log is changed by its owner alone', () => {
    const of = (mode: number | undefined): string => says({ auditFile: owned(mode) })
    assert.equal(of(undefined), '')
    assert.match(of(0o640), /^ok/)
    assert.match(of(0o644), /^warning .*everybody may read it$/)
    assert.match(of(0o660), /^warning .*its group may change it$/)
    assert.match(of(0o606), /^error .*everybody may change it$/)
  })

  test('what is there is read of real files', async () => {
    const text = `
[blob_store.fs]
root_dir = "/srv/keelson"
[audit]
file = "/var/log/audit.jsonl"
[redis]
url = "rediss://a.test"
password = "planted in the configuration"
client_certificate = "/etc/keelson/c.pem"
client_private_key = "/etc/keelson/c.key"
`
    const config = parseConfig([{ file: '/etc/keelson/config.toml', text }])
    const host = fakeHost({
      tree: {
        '/etc/keelson/config.toml': text,
        '/etc/keelson/c.key': `-----BEGIN ENCRYPTED ${'PRIVATE'} KEY-----\n`,
        '/srv/keelson/': '',
        '/var/log/audit.jsonl': '',
      },
      modes: {
        '/etc/keelson/config.toml': 0o604,
        '/etc/keelson': 0o755,
        '/srv/keelson': 0o755,
        '/var/log/audit.jsonl': 0o644,
      },
    })
    const uid = process.getuid?.() ?? 0
    const facts = await readFiles(host, config, { files: ['/etc/keelson/config.toml'], uid })
    assert.deepEqual(said(checkFiles(facts)), [
      'warning configuration file /etc/keelson/config.toml: mode 0604: everybody may read it, and it holds secrets',
      'ok files with secrets: one file, for the owner alone',
      'warning store /srv/keelson: mode 0755: everybody may read it',
      'ok store /srv/keelson/_keelson/metadata: it is made at the first start',
      'ok admin socket /srv/keelson/_keelson/admin.sock: it is made when the server starts',
      'warning audit log /var/log/audit.jsonl: mode 0644: everybody may read it',
    ])
  })

  test('a fifo in the place of a secret is not waited for', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keelson-fifo-'))
    try {
      execFileSync('mkfifo', [join(folder, 'fifo')])
      assert.equal(await openHost().text(join(folder, 'fifo')), undefined)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
