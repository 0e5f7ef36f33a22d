// Goal: a server that was started before encryption was turned on serves and stores nothing wrong beside one that has the
// keys, and loses nothing; a session whose file a kill has left longer than it should be is closed like any other. Method: two
// servers of the product on one store.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { segmentBytes } from '../../src/sealing/layout.ts'
import { runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'

const key = `${'c1'.repeat(31)}d2`
const shared = '[storage]\nsharing = "shared"\n'

let folder: string
let encrypted: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keelson-keyless-'))
  const keys = join(folder, 'keys')
  await writeFile(keys, `${key}\n`, { mode: 0o600 })
  encrypted = `[blob_store.fs.encryption]\nkeys = { file = "${keys}" }\n`
})
after(() => rm(folder, { recursive: true, force: true }))

const digestOf = (bytes: Uint8Array): string => {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The same upload at another server. */
function at({ url }: Server, place: string): string {
  const { pathname, search } = new URL(place, url)
  return `${url}${pathname}${search}`
}

async function begin({ url }: Server): Promise<string> {
  const reply = await fetch(`${url}/v2/app/blobs/uploads/`, { method: 'POST' })
  assert.equal(reply.status, 202)
  return reply.headers.get('location') ?? ''
}

async function send(server: Server, place: string, body: Uint8Array): Promise<Response> {
  const headers = { 'content-type': 'application/octet-stream' }
  return fetch(at(server, place), { method: 'PATCH', headers, body })
}

function end(server: Server, place: string, digest: string): Promise<Response> {
  const url = new URL(at(server, place))
  url.searchParams.set('digest', digest)
  return fetch(url, { method: 'PUT' })
}

async function push(server: Server, bytes: Uint8Array): Promise<string> {
  const digest = digestOf(bytes)
  const sent = await send(server, await begin(server), bytes)
  assert.equal(sent.status, 202)
  const { status } = await end(server, sent.headers.get('location') ?? '', digest)
  assert.equal(status, 201)
  return digest
}

async function pull({ url }: Server, digest: string): Promise<Buffer | number> {
  const reply = await fetch(`${url}/v2/app/blobs/${digest}`)
  const bytes = Buffer.from(await reply.arrayBuffer())
  return reply.status === 200 ? bytes : reply.status
}

test('a server without keys beside one that has them answers 503, and harms nothing', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const without = await startServer({ rootDir, toml: shared })
  try {
    const plain = await push(without, randomBytes(100_000))
    const socket = `[admin]\nsocket = "${join(folder, 'admin.sock')}"\n`
    const server = await startServer({ rootDir, toml: shared + encrypted + socket })
    try {
      const bytes = randomBytes(3 * segmentBytes + 77)
      const digest = await push(server, bytes)
      assert.equal(await pull(without, digest), 503)
      assert.equal((await pull(server, plain)) instanceof Buffer, true)
      assert.equal((await pull(without, plain)) instanceof Buffer, true)

      // An upload that began there goes on here alone.
      const begun = await send(server, await begin(server), bytes.subarray(0, 100_000))
      const place = begun.headers.get('location') ?? ''
      assert.equal((await send(without, place, Buffer.from('wrong'))).status, 503)
      assert.equal((await end(without, place, digest)).status, 503)
      const more = await send(server, place, bytes.subarray(100_000))
      assert.equal(more.status, 202)
      assert.equal((await end(server, more.headers.get('location') ?? '', digest)).status, 201)

      const config = [
        '-c',
        join(dirname(without.configFile), 'base.toml'),
        '-c',
        without.configFile,
      ]
      const scrub = await runCommand([...config, 'scrub', '--online'], folder)
      assert.match(scrub.out, /1 unreadable-file/, scrub.err)
      const aside = await readdir(join(rootDir, '_keelson', 'quarantine')).catch(() => [])
      assert.deepEqual(aside, [])
      assert.deepEqual(await pull(server, digest), bytes)
    } finally {
      await server.stop()
    }
  } finally {
    await without.stop()
  }
})

test('a close cuts what a kill has left behind the committed bytes', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const server = await startServer({ rootDir, toml: encrypted })
  try {
    for (const [length, surplus] of [
      [segmentBytes, 1],
      [segmentBytes, 28],
      [2 * segmentBytes, 29],
      [70_000, 5],
    ] as const) {
      const bytes = randomBytes(length)
      const sent = await send(server, await begin(server), bytes)
      const place = sent.headers.get('location') ?? ''
      const upload = new URL(place, server.url).pathname.split('/').at(-1) ?? ''
      const path = join(rootDir, '_keelson', 'uploads', upload)
      await truncate(path, (await readFile(path)).length + surplus)
      assert.equal((await end(server, place, digestOf(bytes))).status, 201, `${length}+${surplus}`)
      assert.deepEqual(await pull(server, digestOf(bytes)), bytes)
    }
  } finally {
    await server.stop()
  }
})
