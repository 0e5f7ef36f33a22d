// Goal: gc, gc list and gc restore do on a real server, and without one, what they say, and leave their line
// in the audit log. Method: a store whose leases have long ended, and the commands on it.
import assert from 'node:assert/strict'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { newUploadId } from '../../src/oci/upload-id.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import type { MaintenanceStore } from '../../src/storage/metadata/maintenance.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const hourMs = 3_600_000

class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'keelson-gc-'))
  readonly bytes: Buffer = randomBytes(2000)
  readonly digest: string = `sha256:${createHash('sha256').update(this.bytes).digest('hex')}`
  #running: Server | undefined

  constructor(gc = '') {
    after(async () => {
      await this.#running?.stop()
      rmSync(this.folder, { recursive: true, force: true })
    })
    const text = `[gc]
every = "0s"
${gc}
[server]
port = 0
[admin]
socket = ${JSON.stringify(this.at('admin.sock'))}
[blob_store.fs]
root_dir = ${JSON.stringify(this.at('data'))}
[audit]
file = ${JSON.stringify(this.at('audit.jsonl'))}
[global.access_policy]
default = "allow"
`
    writeFileSync(this.at('config.toml'), text)
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  get dataFile(): string {
    const [, hex = ''] = this.digest.split(':')
    return this.at(`data/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`)
  }

  /** A blob that nothing names, with a lease that ended an hour ago. */
  async fill(more: (metadata: MaintenanceStore) => Promise<void> = async () => {}): Promise<void> {
    const digest = parseDigest(this.digest)
    const repository = parseRepositoryName('team/app')
    assert.ok(digest && repository)
    const blobs = await openFsBlobStore({ rootDir: this.at('data'), durability: 'none' })
    const upload = newUploadId(randomUUID)
    const staging = blobs.staging(upload)
    assert.equal(staging.kind, 'fs')
    await writeFile(staging.path, this.bytes, { mode: 0o600 })
    await blobs.publish(upload, digest, this.bytes.length)
    await blobs.discard(upload)
    await blobs.close()
    const metadata = await openLmdbMetadataStore({
      ...{ path: this.at('data/_keelson/metadata'), durability: 'none', sharing: 'exclusive' },
      now: Date.now,
    })
    const leaseUntilMs = Date.now() - hourMs
    const size = this.bytes.length
    await metadata.linkBlob({ repository, digest, size, leaseUntilMs, quotas: [] })
    await more(metadata)
    await metadata.close()
  }

  async serve(): Promise<Server> {
    const base = readFileSync(this.at('config.toml'), 'utf8')
    this.#running = await startServer({ base, rootDir: this.at('root') })
    return this.#running
  }

  run(...args: readonly string[]): Promise<Ran> {
    return runCommand(['-c', this.at('config.toml'), ...args], this.folder)
  }

  async ok(...args: readonly string[]): Promise<string> {
    const { code, out, err } = await this.run(...args)
    assert.equal(code, 0, `${args.join(' ')}: ${out}${err}`)
    return out
  }

  deeds(): readonly string[] {
    return readFileSync(this.at('audit.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.digest) && line.includes('"deed"'))
      .map((line) => (JSON.parse(line) as { readonly deed: string }).deed)
  }
}

/** The same, whether the server does it or the command itself. */
async function undo(site: Site): Promise<void> {
  assert.match(await site.ok('gc', '--dry-run'), /^would condemn 1 blob, 2\.0 KiB\n/)
  assert.equal(await site.ok('gc', 'list'), '')
  const { details } = JSON.parse(await site.ok('gc', '--json')) as {
    readonly details: { readonly run: string; readonly condemned: object }
  }
  assert.deepEqual(details.condemned, { count: 1, bytes: 2000 })
  const listed = await site.ok('gc', 'list')
  const times = String.raw`20\S+Z  by ${details.run}  until 20\S+Z`
  assert.match(listed, new RegExp(`^blob +${site.digest} +2\\.0 KiB  ${times}\n`))
  assert.match(listed, new RegExp(`\nhold +${site.digest} +2\\.0 KiB  ${times}  in team/app\n$`))
  assert.equal(await site.ok('gc', 'list', '--run', details.run), listed)
  assert.equal(await site.ok('gc', 'list', '--run', 'another'), '')
  const json = JSON.parse(await site.ok('gc', 'list', '--json', '--digest', site.digest)) as {
    readonly items: readonly object[]
  }
  assert.equal(json.items.length, 2)
  const restored = await site.ok('gc', 'restore', details.run)
  assert.match(
    restored,
    /^restored blob sha256:[^\n]+\nrestored hold [^\n]+in team\/app[^\n]+\n2 restored\n$/,
  )
  assert.equal(await site.ok('gc', 'list'), '')
  const again = await site.run('gc', 'restore', site.digest)
  assert.deepEqual([again.code, again.err], [1, ''])
  assert.match(again.out, /^nothing of sha256:\S+ can be brought back: see keelson gc list\n$/)
  assert.match(await site.ok('gc'), /^nothing was to be done\n/)
}

describe('in a server that runs', () => {
  test('what is condemned is listed, brought back and served', async () => {
    const site = new Site()
    await site.fill()
    const server = await site.serve()
    const url = `${server.url}/v2/team/app/blobs/${site.digest}`
    await undo(site)
    assert.equal((await fetch(url)).status, 200)
    await until('the audit log has it', () => site.deeds().length === 3)
    assert.deepEqual(site.deeds(), ['condemn-blob', 'restore-blob', 'restore-blob'])
  })

  test('what is destroyed is gone from the disk, and can be pushed again', async () => {
    const site = new Site('restore_window = "0s"\noverwrite = true')
    await site.fill()
    const server = await site.serve()
    // The second one, where the first was done in the very millisecond.
    await site.ok('gc')
    await site.ok('gc')
    assert.equal(existsSync(site.dataFile), false)
    await until('the audit log has it', () => site.deeds().length === 2)
    assert.deepEqual(site.deeds(), ['condemn-blob', 'destroy-blob'])
    const target = `${server.url}/v2/team/app/blobs/uploads/?digest=${site.digest}`
    const pushed = await fetch(target, { method: 'POST', body: site.bytes })
    assert.equal(pushed.status, 201)
    assert.equal(existsSync(site.dataFile), true)
  })

  test('what a killed run had begun to destroy is finished at the start', async () => {
    const site = new Site()
    await site.fill(async (metadata) => {
      const leases = await metadata.listEndedLeases({ beforeMs: Date.now(), limit: 10 })
      await metadata.condemn(leases, { nowMs: Date.now(), run: 'killed' })
      await metadata.beginDestroy(await metadata.listDropped({ limit: 10 }))
    })
    assert.equal(existsSync(site.dataFile), true)
    const server = await site.serve()
    const target = `${server.url}/v2/team/app/blobs/uploads/?digest=${site.digest}`
    const pushed = await fetch(target, { method: 'POST', body: site.bytes })
    assert.equal(pushed.status, 201)
    await until('the audit log has it', () => site.deeds().includes('destroy-blob'))
    const pulled = await fetch(`${server.url}/v2/team/app/blobs/${site.digest}`)
    assert.deepEqual(Buffer.from(await pulled.arrayBuffer()), site.bytes)
  })
})

describe('without a server', () => {
  test('the commands do it themselves', async () => {
    const site = new Site()
    await site.fill()
    await undo(site)
    assert.deepEqual(site.deeds(), ['condemn-blob', 'restore-blob', 'restore-blob'])
  })

  test('what is asked for wrongly is refused', async () => {
    const site = new Site()
    await site.fill()
    const none = await site.run('gc', 'restore')
    assert.deepEqual(
      [none.code, none.err],
      [2, 'keelson: gc restore needs a digest or the id of a run\n'],
    )
    const bad = await site.run('gc', 'restore', 'sha256:short')
    assert.deepEqual([bad.code, bad.err], [1, 'keelson: digest: expected one such as sha256:…\n'])
    const surplus = await site.run('gc', 'everything')
    assert.equal(surplus.code, 2)
    assert.match(surplus.err, /gc takes no argument 'everything'/)
  })
})
