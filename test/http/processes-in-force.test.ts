// Goal: a process that takes the place of another one has the store that is in force, and not one that only a restart
// brings: else it would encrypt what the others cannot read. Method: encryption is configured and reloaded while two processes
// serve, and both are killed in turn.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { isSealed } from '../../src/sealing/layout.ts'
import { dataKey, encryptionKeysKey } from '../../src/storage/blob/keys.ts'
import { type Processes, startProcesses } from './processes-scene.ts'
import { poll, temporaryFolder } from './product.ts'

const folder = temporaryFolder()

/** Kill a process; resolves when its successor serves. */
async function replaced(processes: Processes, process_: number): Promise<void> {
  const before = (await processes.status()).find(({ process: index }) => index === process_)
  assert.ok(before?.pid)
  process.kill(before.pid, 'SIGKILL')
  await processes.until('another one serves', (status) =>
    status.every(
      ({ process: index, pid, state }) =>
        state === 'serving' && (index !== process_ || pid !== before.pid),
    ),
  )
}

test('a replaced process does not encrypt before the server is restarted', async () => {
  const keys = join(folder.path, 'keys')
  await writeFile(keys, `${'c1'.repeat(31)}d2\n`, { mode: 0o600 })
  const processes = await startProcesses()
  try {
    const { server } = processes
    const toml = await readFile(server.configFile, 'utf8')
    const more = `[blob_store.fs.encryption]\nkeys = { file = "${keys}" }\n`
    await writeFile(server.configFile, `${toml}\n${more}[log]\nlevel = "debug"\n`)
    process.kill(server.pid, 'SIGHUP')
    const pending = 'keelson_config_restart_required_keys'
    await poll('it was accepted', async () => (await processes.metric(pending)) > 0 || undefined)
    for (const index of [1, 2]) {
      await replaced(processes, index)
      const pushed: string[] = []
      for (const each of await processes.connectToEach()) {
        pushed.push(await each.push('app', randomBytes(70_000)))
      }
      for (const each of await processes.connectToEach()) {
        for (const digest of pushed) {
          const { status } = await each.call('HEAD', `/v2/app/blobs/${digest}`)
          assert.equal(status, 200)
          assert.equal((await each.call('GET', `/v2/app/blobs/${digest}`)).status, 200)
        }
        each.close()
      }
      for (const digest of pushed) {
        const file = await readFile(join(server.rootDir, dataKey(digest as Digest)))
        assert.ok(!isSealed(file), `after process ${index} was replaced`)
      }
      assert.ok(!existsSync(join(server.rootDir, encryptionKeysKey)))
      await poll(
        'it tells that too',
        async () => (await processes.metric(pending)) > 0 || undefined,
      )
    }
  } finally {
    await processes.end()
  }
})
