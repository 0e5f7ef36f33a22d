// Goal: a registry moves from files to a database and back while its clients pull; nothing is lost, what is damaged is
// named and not moved, and nobody opens a target that is not finished.
// Method: servers of the product, a real PostgreSQL, and the command beside them.

import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseDigest } from '../../../src/oci/digest.ts'
import { dataKey } from '../../../src/storage/blob/keys.ts'
import { runCommand } from '../../support/command-line.ts'
import { type Image, makeImage } from '../../support/images.ts'
import { type Database, needsPostgres, PostgresServer } from '../../support/postgres.ts'
import { assertServesImage, pushImage } from '../../support/served.ts'
import { type Server, startServer } from '../../support/server.ts'

let postgres: PostgresServer
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keelson-migrate-'))
  if (needsPostgres.skip === false) postgres = await PostgresServer.start()
})
after(async () => {
  await postgres?.stop()
  await rm(folder, { recursive: true, force: true })
})

const common = '[global.access_policy]\ndefault = "allow"\n'

function configOf(dir: string, blobs: string, records: string): string {
  const server = `[server]\nbind_address = "127.0.0.1"\nport = 0\n[admin]\nsocket = "${dir}/admin.sock"\n`
  return `${server}[blob_store.fs]\nroot_dir = "${blobs}"\n${records}\n${common}`
}

function inDatabase({ host, port, user, database }: Database): string {
  return `[metadata_store.postgres]\nhost = "${host}"\nport = ${port}\nusername = "${user}"\ndatabase = "${database}"\nsslmode = "disable"`
}

function inFolder(path: string): string {
  return `[metadata_store.lmdb]\npath = "${path}"`
}

interface Scene {
  readonly dir: string
  /** Writes a configuration; answers its file. */
  config(name: string, blobs: string, records: string): Promise<string>
  serve(file: string): Promise<Server>
  readonly image: Image
}

async function withDir(body: (scene: Scene) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(folder, 's-'))
  const servers: Server[] = []
  const image = await makeImage(join(dir, 'image'), { layers: 2, bytesPerLayer: 40_000, seed: dir })
  try {
    await body({
      ...{ dir, image },
      config: async (name, blobs, records) => {
        const file = join(dir, `${name}.toml`)
        await writeFile(file, configOf(dir, join(dir, blobs), records))
        return file
      },
      serve: async (file) => {
        const server = await startServer({ base: await readFile(file, 'utf8') })
        servers.push(server)
        return server
      },
    })
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
  }
}

async function tagsOf({ url }: Server, name: string): Promise<unknown> {
  return (await fetch(`${url}/v2/${name}/tags/list`)).json()
}

test('a registry moves to a database while its clients pull, and back', needsPostgres, () =>
  withDir(async ({ dir, config, serve, image }) => {
    const old = await config('old', 'blobs', inFolder(join(dir, 'records')))
    const next = await config('next', 'blobs', inDatabase(await postgres.database()))
    const first = await serve(old)
    for (const tag of ['v1', 'v2']) await pushImage(first.url, 'team/app', tag, image)
    await fetch(`${first.url}/v2/team/app/blobs/uploads/`, { method: 'POST' })
    const kinds = ['--from', 'lmdb+fs', '--to', 'postgres+fs']
    const rehearsed = await runCommand(
      ['-c', old, 'migrate', '--to-config', next, '--dry-run', '--online'],
      dir,
    )
    assert.equal(rehearsed.code, 0, rehearsed.err)
    assert.match(rehearsed.out, /would move 3 blobs .*stay where they are/)

    const stop = new AbortController()
    let pulls = 0
    const pulling = (async () => {
      while (!stop.signal.aborted) {
        await assertServesImage(first.url, 'team/app', 'v1', image)
        pulls += 1
      }
    })()
    const moved = await runCommand(
      ['-c', old, 'migrate', '--to-config', next, ...kinds, '--online', '--json'],
      dir,
    )
    assert.equal(moved.code, 0, moved.out + moved.err)
    const before = pulls
    // Pulls go on after it as well: until the restart.
    while (pulls < before + 2) await new Promise((resolve) => setImmediate(resolve))
    stop.abort()
    await pulling
    assert.match(moved.out, /1 unfinished upload left behind/)

    const refused = await fetch(`${first.url}/v2/team/app/blobs/uploads/`, { method: 'POST' })
    assert.equal(refused.status, 503)
    assert.equal(refused.headers.get('retry-after'), '30')
    assert.match(await refused.text(), /READ_ONLY.*takes no writes while it is moved/)
    const kept = await fetch(`${first.url}/v2/team/app/manifests/v2`, { method: 'DELETE' })
    assert.equal(kept.status, 503)
    await first.stop()

    const second = await serve(next)
    assert.deepEqual(await tagsOf(second, 'team/app'), { name: 'team/app', tags: ['v1', 'v2'] })
    await assertServesImage(second.url, 'team/app', 'v2', image)
    const removed = await fetch(`${second.url}/v2/team/app/manifests/v2`, { method: 'DELETE' })
    assert.equal(removed.status, 202)
    const other = await makeImage(join(dir, 'other'), { layers: 1, bytesPerLayer: 999, seed: 'o' })
    await pushImage(second.url, 'other', 'new', other)
    const collected = await runCommand(['-c', next, 'gc', '--online'], dir)
    assert.equal(collected.code, 0, collected.out + collected.err)
    await second.stop()
    // It would collect what only the new records name.
    const outdated = await runCommand(['-c', old, 'gc'], dir)
    assert.equal(outdated.code, 1)
    assert.match(outdated.err, /is the blob store of other records.*these are the old records/)

    const back = await config('back', 'copied', inFolder(join(dir, 'records-back')))
    const returned = await runCommand(['-c', next, 'migrate', '--to-config', back], dir)
    assert.equal(returned.code, 0, returned.out + returned.err)
    assert.match(returned.out, /moved from postgres\+fs to lmdb\+fs: 2 repositories, .*5 copied/)
    const third = await serve(back)
    assert.deepEqual(await tagsOf(third, 'team/app'), { name: 'team/app', tags: ['v1'] })
    await assertServesImage(third.url, 'team/app', 'v1', image)
    await assertServesImage(third.url, 'other', 'new', other)

    const again = await runCommand(['-c', next, 'migrate', '--to-config', next], dir)
    assert.equal(again.code, 1)
  }),
)

test('a damaged blob is named and not moved, and the next attempt ends it', () =>
  withDir(async ({ dir, config, serve, image }) => {
    const old = await config('old', 'blobs', inFolder(join(dir, 'records')))
    const next = await config('next', 'copied', inFolder(join(dir, 'records-next')))
    const server = await serve(old)
    await pushImage(server.url, 'team/app', 'v1', image)
    await server.stop()
    const digest = parseDigest(image.layers[0]?.digest ?? '')
    assert.ok(digest)
    const file = join(dir, 'blobs', dataKey(digest))
    const good = await readFile(file)
    await rm(file)
    await writeFile(file, Buffer.alloc(good.length, 1))
    const failed = await runCommand(['-c', old, 'migrate', '--to-config', next], dir)
    assert.equal(failed.code, 1)
    assert.match(failed.out + failed.err, new RegExp(`damaged: ${digest}: its bytes do not have`))
    await assert.rejects(serve(next), /has not ended; run it again/)
    await rm(file)
    await writeFile(file, good)
    await truncate(file, good.length - 1)
    const short = await runCommand(['-c', old, 'migrate', '--to-config', next], dir)
    assert.equal(short.code, 1)
    assert.match(short.out + short.err, new RegExp(`damaged: ${digest}: it has`))
    await rm(file)
    await writeFile(file, good)
    const ended = await runCommand(['-c', old, 'migrate', '--to-config', next], dir)
    assert.equal(ended.code, 0, ended.out + ended.err)
    assert.match(ended.out, /; 1 copied\)/)
    const target = await serve(next)
    await assertServesImage(target.url, 'team/app', 'v1', image)
    await target.stop()
    const source = await serve(old)
    await assertServesImage(source.url, 'team/app', 'v1', image)
    await pushImage(source.url, 'team/app', 'v2', image)
    const used = await runCommand(['-c', old, 'migrate', '--to-config', next], dir)
    assert.equal(used.code, 1)
    assert.match(used.out + used.err, /the target holds the/)
    // It failed, so the source takes writes again.
    await pushImage(source.url, 'team/app', 'v3', image)
  }))

test('kinds that are not those of the configurations, and stores in memory, are refused by name', () =>
  withDir(async ({ dir, config, serve, image }) => {
    const old = await config('old', 'blobs', inFolder(join(dir, 'records')))
    const next = await config('next', 'copied', inFolder(join(dir, 'records-next')))
    const memory = await config('memory', 'blobs', '[metadata_store.memory]')
    const gone = await config(
      'gone',
      'blobs',
      inDatabase({ host: dir, port: 5432, user: 'nobody', database: 'none' }),
    )
    const server = await serve(old)
    await pushImage(server.url, 'team/app', 'v1', image)
    for (const [args, said] of [
      [['--to-config', next, '--from', 'postgres+fs'], /--from postgres\+fs: .* lmdb\+fs/],
      [['--to-config', next, '--to', 'lmdb+s3'], /--to lmdb\+s3: .* lmdb\+fs/],
      [['--to-config', memory], /in memory/],
      [['--to-config', gone], /ENOENT|cannot be reached|connect/],
      [['--to-config', old], /both configurations have their records/],
      [['--to-config', join(dir, 'absent.toml')], /absent\.toml/],
    ] as const) {
      const { code, out, err } = await runCommand(['-c', old, 'migrate', ...args], dir)
      assert.equal(code, 1, args.join(' '))
      assert.match(out + err, said)
    }
    const { code } = await runCommand(['-c', old, 'migrate'], dir)
    assert.equal(code, 2)
    await pushImage(server.url, 'team/app', 'v2', image)
  }))

test('records that would lie beside blobs whose keys their server lacks are refused', () =>
  withDir(async ({ dir, config, image }) => {
    const old = await config('old', 'blobs', inFolder(join(dir, 'records')))
    const next = await config('next', 'blobs', inFolder(join(dir, 'records-next')))
    const keys = join(dir, 'keys')
    await writeFile(keys, `${'c1'.repeat(31)}d2\n`, { mode: 0o600 })
    const encryption = `[blob_store.fs.encryption]\nkeys = { file = "${keys}" }\n`
    await writeFile(old, `${await readFile(old, 'utf8')}${encryption}`)
    const server = await startServer({ base: await readFile(old, 'utf8') })
    await pushImage(server.url, 'team/app', 'v1', image)
    await server.stop()
    for (const more of [['--dry-run'], []]) {
      const args = ['-c', old, 'migrate', '--to-config', next, ...more]
      const { code, out, err } = await runCommand(args, dir)
      assert.equal(code, 1, out)
      assert.match(out + err, /encrypted with the key .*, which is not configured/)
    }
    await assert.rejects(readdir(join(dir, 'records-next')), 'nothing is made there')
    await writeFile(next, `${await readFile(next, 'utf8')}${encryption}`)
    const { code, out, err } = await runCommand(['-c', old, 'migrate', '--to-config', next], dir)
    assert.equal(code, 0, out + err)
    const moved = await startServer({ base: await readFile(next, 'utf8') })
    try {
      await assertServesImage(moved.url, 'team/app', 'v1', image)
    } finally {
      await moved.stop()
    }
  }))
