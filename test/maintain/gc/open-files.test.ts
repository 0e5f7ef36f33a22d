// Goal: a server gives the room of a blob back that another process of the store has destroyed, though it had it
// open. Method: its descriptors, looked at from outside.

import assert from 'node:assert/strict'
import { readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf, RegistryClient } from '../../support/registry-client.ts'
import { startServer } from '../../support/server.ts'
import { until } from '../../support/until.ts'
import { someBytes } from './scene.ts'

function openFilesOf(pid: number, directory: string): readonly string[] {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).flatMap((fd) => {
    try {
      const target = readlinkSync(join(folder, fd))
      return target.startsWith(directory) ? [target] : []
    } catch {
      // Closed since it was listed.
      return []
    }
  })
}

test('gc: a server lets go of a file that another process has destroyed', async () => {
  const server = await startServer({ toml: '[storage]\nsharing = "shared"\n' })
  const client = new RegistryClient(server.url)
  try {
    const bytes = someBytes(500_000)
    const digest = digestOf(bytes)
    const target = `/v2/app/blobs/uploads/?digest=${digest}`
    const pushed = await client.call('POST', target, { body: bytes })
    assert.equal(pushed.status, 201)
    assert.equal((await client.call('GET', `/v2/app/blobs/${digest}`)).status, 200)
    const [, hex = ''] = digest.split(':')
    const directory = join(server.rootDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
    assert.equal(openFilesOf(server.pid, directory).length, 1)
    rmSync(directory, { recursive: true })
    await until('its file is closed', () => openFilesOf(server.pid, directory).length === 0)
  } finally {
    client.close()
    await server.stop()
  }
})
