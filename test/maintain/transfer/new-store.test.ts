// Goal: a server that is started on the tree of another registry takes nothing from it, also where the import is
// forgotten. Method: a real server on such a tree, and its garbage collection.

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Ran, runCommand } from '../../support/command-line.ts'
import { type Server, startServer } from '../../support/server.ts'

async function serve(t: TestContext, folders: readonly string[]): Promise<Server> {
  const rootDir = await mkdtemp(join(tmpdir(), 'keel-'))
  t.after(() => rm(rootDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  for (const name of folders) await mkdir(join(rootDir, 'root', name), { recursive: true })
  const root = JSON.stringify(join(rootDir, 'root'))
  const base = `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${root}\n[global.access_policy]\ndefault = "allow"\n`
  const server = await startServer({ base })
  t.after(() => server.stop())
  return server
}

function keelson(server: Server, ...args: readonly string[]): Promise<Ran> {
  return runCommand(['-c', server.configFile, ...args], server.rootDir)
}

test('a new store in the tree of another registry is shared till it is taken over', async (t) => {
  const server = await serve(t, ['repositories', 'blobs'])
  assert.match((await keelson(server, 'gc')).out, /nothing is condemned or destroyed/)
  assert.equal((await keelson(server, 'import', '--take-over', '--yes')).code, 0)
  assert.doesNotMatch((await keelson(server, 'gc')).out, /nothing is condemned/)
})

test('a store of its own is its own', async (t) => {
  const server = await serve(t, ['blobs'])
  assert.doesNotMatch((await keelson(server, 'gc')).out, /nothing is condemned/)
})
