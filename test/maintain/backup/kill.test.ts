// Goal: a backup whose process is killed makes no snapshot, holds nobody up, and the next one goes on from there.
// Method: the product without a server, so slow that it is killed in the middle of the blobs.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { listSnapshotIds } from '../../../src/maintain/backup/snapshot.ts'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { newUploadId } from '../../../src/oci/upload-id.ts'
import { runCommand } from '../../support/command-line.ts'
import { seededBytes } from '../../support/images.ts'
import { productCommand } from '../../support/server.ts'
import { opened } from './restored.ts'
import { filesIn, withFolder } from './scene.ts'

const blobs = 12

/** Blobs of half a MiB, each held by a repository. */
async function fill(rootDir: string): Promise<void> {
  await mkdir(join(rootDir, '_keelson', 'metadata'), { recursive: true })
  const repository = parseRepositoryName('team/app')
  assert.ok(repository)
  await opened(rootDir, async ({ blobs: store, metadata }) => {
    for (let i = 0; i < blobs; i++) {
      const bytes = seededBytes(`blob ${i}`, 512 << 10)
      const digest = digestOfBytes('sha256', bytes)
      const upload = newUploadId(() => crypto.randomUUID())
      const target = store.staging(upload)
      assert.ok(target.kind === 'fs')
      await writeFile(target.path, bytes)
      await store.publish(upload, digest, bytes.length)
      await store.discard(upload)
      const leaseUntilMs = Date.now() + 3_600_000
      await metadata.linkBlob({ repository, digest, size: bytes.length, leaseUntilMs, quotas: [] })
    }
  })
}

async function copiedIn(to: string): Promise<number> {
  const names = await readdir(new Layout(to).blobs, { recursive: true }).catch(() => [])
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).length
}

test('a backup that is killed is none, and the next one ends it', () =>
  withFolder(async (folder) =>
    withFolder(async (to) => {
      const rootDir = join(folder, 'store')
      await fill(rootDir)
      const config = join(folder, 'config.toml')
      const store = `[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}\n`
      await writeFile(config, `${store}[backup]\nbytes_per_second = "1MiB"\n`)
      const create = ['-c', config, 'backup', 'create', '--to', to]
      const [command = '', ...args] = productCommand()
      for (let kills = 0, before = 0; kills < 3; kills++) {
        const child = spawn(command, [...args, ...create], { stdio: 'ignore' })
        const closed = once(child, 'close')
        const deadline = performance.now() + 60_000
        while (child.exitCode === null && (await copiedIn(to)) <= before) {
          assert.ok(performance.now() < deadline, 'a blob is copied within a minute')
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        child.kill('SIGKILL')
        await closed
        before = await copiedIn(to)
        assert.deepEqual(await listSnapshotIds(new Layout(to)), [])
      }
      const copied = await copiedIn(to)
      assert.ok(copied >= 3 && copied < blobs, `${copied} of ${blobs}`)
      await writeFile(config, store)
      const made = await runCommand([...create, '--json'], '/')
      assert.equal(made.code, 0, made.out + made.err)
      const { details } = JSON.parse(made.out) as { details: { copied: { count: number } } }
      assert.equal(details.copied.count, blobs - copied)
      const left = (await filesIn(to)).filter((file) => /^(tmp|locks)/.test(file))
      assert.deepEqual(left, [])
      assert.equal((await runCommand(['backup', 'verify', to], '/')).code, 0)
    }),
  ))
