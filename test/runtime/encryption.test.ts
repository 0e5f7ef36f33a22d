// Goal: a program that cannot be run to print the keys is told as that, whatever the system lacks for it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openKeys } from '../../src/runtime/encryption.ts'

function configured(keysCommand: string): Parameters<typeof openKeys>[0] {
  const encryption = { keys: undefined, keysCommand, keysTimeoutMs: 30_000 }
  return { blobStore: { kind: 'fs', rootDir: '/', encryption } } as unknown as Parameters<
    typeof openKeys
  >[0]
}

test('a program that is not there, or no program, is named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-keys-'))
  try {
    const absent = join(folder, 'absent')
    await assert.rejects(
      openKeys(configured(absent)),
      /keys_command: .*absent: cannot run it: ENOENT/,
    )
    const file = join(folder, 'file')
    await writeFile(file, 'no program', { mode: 0o600 })
    await assert.rejects(openKeys(configured(file)), /keys_command: .*file: cannot run it: EACCES/)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a process that has no descriptor left for it says so', async () => {
  const module = new URL(
    `../../src/runtime/encryption${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
    import.meta.url,
  )
  const script = `
    import { openSync } from 'node:fs'
    import { openKeys } from ${JSON.stringify(module.href)}
    try { for (;;) openSync('/dev/null') } catch {}
    const encryption = { keysCommand: '/bin/true', keysTimeoutMs: 30000 }
    await openKeys({ blobStore: { kind: 'fs', rootDir: '/', encryption } }).catch((error) => console.log(String(error)))
  `
  const args = ['-c', 'ulimit -n 128; exec "$@"', 'sh', process.execPath, '--input-type=module']
  const child = spawn('/bin/sh', [...args, '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] })
  let told = ''
  for (const output of [child.stdout, child.stderr]) {
    output.on('data', (chunk: Buffer) => {
      told += String(chunk)
    })
  }
  await new Promise((resolve) => child.on('close', resolve))
  assert.match(
    told,
    /^Error: blob_store.fs.encryption.keys_command: \/bin\/true: cannot run it: EMFILE/,
  )
})
