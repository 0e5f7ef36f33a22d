// Goal: nothing is encrypted in a tree that another registry serves, too, whether its records lie there or our own say so; and
// the doctor tells that before a start does.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { encryptionKeysKey } from '../../src/storage/blob/keys.ts'
import { runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'
import { temporaryFolder } from './product.ts'

const folder = temporaryFolder()

async function keysFile(): Promise<string> {
  const path = join(folder.path, 'keys')
  await writeFile(path, `${'c1'.repeat(31)}d2\n`, { mode: 0o600 })
  return `[blob_store.fs.encryption]\nkeys = { file = "${path}" }\n`
}

function commandOf({ configFile }: Server, ...args: readonly string[]) {
  const base = join(dirname(configFile), 'base.toml')
  return runCommand(['-c', base, '-c', configFile, ...args], folder.path)
}

test('a tree of another registry is not encrypted before it was taken over', async () => {
  const toml = await keysFile()
  const rootDir = await mkdtemp(join(folder.path, 'root-'))
  const others = join(rootDir, 'repositories')
  await mkdir(others)
  // In an empty store, and in one that has records.
  await assert.rejects(startServer({ rootDir, toml }), /cannot be encrypted: .*repositories is of/)
  const config = join(folder.path, 'doctor.toml')
  await writeFile(
    config,
    `[server]\nport = 0\n[blob_store.fs]\nroot_dir = "${rootDir}"\n[global.access_policy]\ndefault = "allow"\n${toml}`,
  )
  const { out } = await runCommand(['-c', config, 'doctor', '--quick'], folder.path)
  assert.match(out, /cannot be encrypted/)
  const plain = await startServer({ rootDir, toml: '' })
  await plain.stop()
  await rename(others, join(folder.path, 'moved'))
  await assert.rejects(startServer({ rootDir, toml }), /cannot be encrypted: they are those of/)
  assert.ok(!existsSync(join(rootDir, encryptionKeysKey)))
  const server = await startServer({ rootDir, toml: '' })
  const took = await commandOf(server, 'import', '--take-over', '--yes')
  assert.equal(took.code, 0, took.err)
  await server.stop()
  const encrypting = await startServer({ rootDir, toml })
  await encrypting.stop()
  assert.ok(existsSync(join(rootDir, encryptionKeysKey)))
})
