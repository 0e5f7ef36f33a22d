// Goal: a registry moves from files to a bucket while its clients pull, and back; and from LMDB to PostgreSQL beside a
// bucket that stays, whose old records then open no more. Method: servers of the product, a real PostgreSQL and S3 server.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Ran, runCommand } from '../../support/command-line.ts'
import { type Image, makeImage } from '../../support/images.ts'
import { needsPostgres, PostgresServer } from '../../support/postgres.ts'
import { assertServesImage, pushImage } from '../../support/served.ts'
import { type Server, startServer } from '../../support/server.ts'
import { needsVersitygw, S3Server, s3Keys } from '../../support/versitygw.ts'

const needed = { skip: needsPostgres.skip || needsVersitygw.skip }

describe('a migration with a bucket', needed, () => {
  let folder: string
  let postgres: PostgresServer
  let s3: S3Server
  let image: Image
  const servers: Server[] = []

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-migrate-'))
    ;[postgres, s3] = await Promise.all([PostgresServer.start(), S3Server.start()])
    // One layer goes in several parts.
    image = await makeImage(join(folder, 'image'), {
      layers: 2,
      bytesPerLayer: 6 << 20,
      seed: 's3',
    })
  })
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()))
    await Promise.all([postgres?.stop(), s3?.stop()])
    await rm(folder, { recursive: true, force: true })
  })

  async function config(name: string, ...stores: readonly string[]): Promise<string> {
    const file = join(folder, `${name}.toml`)
    const server = `[server]\nbind_address = "127.0.0.1"\nport = 0\n[admin]\nsocket = "${folder}/${name}.sock"\n`
    await writeFile(file, `${server}${stores.join('')}[global.access_policy]\ndefault = "allow"\n`)
    return file
  }

  const inBucket = (bucket: string): string => `[blob_store.s3]
endpoint = "${s3.endpoint}"
bucket = "${bucket}"
path_style = true
access_key_id = "${s3Keys.accessKeyId}"
secret_access_key = "${s3Keys.secretAccessKey}"
part_size = "5MiB"
`
  const inTree = (name: string): string => `[blob_store.fs]\nroot_dir = "${join(folder, name)}"\n`
  const inLmdb = (name: string): string => `[metadata_store.lmdb]\npath = "${join(folder, name)}"\n`

  async function inDatabase(): Promise<string> {
    const { host, port, user, database } = await postgres.database()
    return `[metadata_store.postgres]\nhost = "${host}"\nport = ${port}\nusername = "${user}"\ndatabase = "${database}"\nsslmode = "disable"\n`
  }

  async function serve(file: string): Promise<Server> {
    const server = await startServer({ base: await readFile(file, 'utf8') })
    servers.push(server)
    return server
  }

  async function stop(server: Server): Promise<void> {
    servers.splice(servers.indexOf(server), 1)
    assert.equal((await server.stop()).code, 0, server.log.slice(-5).join('\n'))
  }

  const migrate = (from: string, to: string, ...args: readonly string[]): Promise<Ran> =>
    runCommand(['-c', from, 'migrate', '--to-config', to, ...args], folder)

  test('files to a bucket and a database, while clients pull, and back', async () => {
    const old = await config('old', inTree('blobs'), inLmdb('records'))
    const bucket = await s3.bucket()
    const next = await config('next', inBucket(bucket), await inDatabase())
    const first = await serve(old)
    await pushImage(first.url, 'team/app', 'v1', image)
    const rehearsed = await migrate(old, next, '--dry-run', '--online')
    assert.equal(rehearsed.code, 0, rehearsed.out + rehearsed.err)
    assert.deepEqual(await s3.keys(bucket), [])
    let isDone = false
    const pulling = (async () => {
      while (!isDone) await assertServesImage(first.url, 'team/app', 'v1', image)
    })()
    const kinds = ['--from', 'lmdb+fs', '--to', 'postgres+s3']
    const moved = await migrate(old, next, ...kinds, '--online')
    isDone = true
    await pulling
    assert.equal(moved.code, 0, moved.out + moved.err)
    await stop(first)

    const second = await serve(next)
    await assertServesImage(second.url, 'team/app', 'v1', image)
    const other = await makeImage(join(folder, 'other'), {
      layers: 1,
      bytesPerLayer: 999,
      seed: 'o',
    })
    await pushImage(second.url, 'other', 'new', other)
    await stop(second)
    const again = await migrate(old, next)
    assert.equal(again.code, 1)
    assert.match(again.out + again.err, /the target holds/)

    const back = await config('back', inTree('returned'), inLmdb('records-back'))
    const returned = await migrate(next, back, '--from', 'postgres+s3', '--to', 'lmdb+fs')
    assert.equal(returned.code, 0, returned.out + returned.err)
    const third = await serve(back)
    await assertServesImage(third.url, 'team/app', 'v1', image)
    await assertServesImage(third.url, 'other', 'new', other)
    await stop(third)
  })

  test('records beside a bucket that stays, whose old ones are refused from then on', async () => {
    const bucket = await s3.bucket()
    const old = await config('old-records', inBucket(bucket), inLmdb('records-of-bucket'))
    const next = await config('next-records', inBucket(bucket), await inDatabase())
    const first = await serve(old)
    await pushImage(first.url, 'team/app', 'v1', image)
    const moved = await migrate(old, next, '--from', 'lmdb+s3', '--to', 'postgres+s3', '--online')
    assert.equal(moved.code, 0, moved.out + moved.err)
    assert.match(moved.out, /stay/)
    await stop(first)
    const second = await serve(next)
    await assertServesImage(second.url, 'team/app', 'v1', image)
    await pushImage(second.url, 'team/app', 'v2', image)
    await stop(second)
    await assert.rejects(
      startServer({ base: await readFile(old, 'utf8') }),
      /these are the old records/,
    )
    const third = await serve(next)
    await assertServesImage(third.url, 'team/app', 'v2', image)
    await stop(third)
  })

  test('a bucket that holds what no record knows is refused', async () => {
    const bucket = await s3.bucket()
    const used = await config('used', inBucket(bucket), inLmdb('records-used'))
    const server = await serve(used)
    await pushImage(server.url, 'team/app', 'v1', image)
    await stop(server)
    const from = await config('from', inTree('blobs-from'), inLmdb('records-from'))
    const source = await serve(from)
    await pushImage(source.url, 'team/app', 'v1', image)
    await stop(source)
    const to = await config('to', inBucket(bucket), inLmdb('records-to'))
    const refused = await migrate(from, to)
    assert.equal(refused.code, 1)
    assert.match(refused.out + refused.err, /other records|but blobs such as/)
  })
})
