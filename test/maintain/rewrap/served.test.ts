// Goal: a server that encrypts serves what was pushed, in every way that clients pull and push; what was changed on its
// disk is never served; and its keys are changed while it serves. Method: the product over HTTP, and its files.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Digest, parseDigest } from '../../../src/oci/digest.ts'
import { keyIdOf, parseKeys } from '../../../src/sealing/keys.ts'
import { isSealed, segmentBytes, slotPosition } from '../../../src/sealing/layout.ts'
import { readKeyList } from '../../../src/storage/blob/fs/key-list.ts'
import { wrapIdsNow } from '../../../src/storage/blob/fs/sealed-files.ts'
import { openFsBlobStore } from '../../../src/storage/blob/fs/store.ts'
import { dataKey } from '../../../src/storage/blob/keys.ts'
import { runCommand } from '../../support/command-line.ts'
import { makeImage } from '../../support/images.ts'
import { assertServesImage, pushImage } from '../../support/served.ts'
import { type Server, type ServerOptions, startServer } from '../../support/server.ts'
import { until } from '../../support/until.ts'

const waitMs = 60_000
const first = `${'c1'.repeat(31)}d2`
const second = Buffer.from(`${'e3'.repeat(31)}f4`, 'hex').toString('base64')
const idOf = (text: string): string => {
  return keyIdOf(Buffer.from(text, text.length === 64 ? 'hex' : 'base64'))
}

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keelson-sealed-'))
})
after(() => rm(folder, { recursive: true, force: true }))

async function keyFile(...keys: readonly string[]): Promise<string> {
  const path = join(folder, `keys-${randomBytes(6).toString('hex')}`)
  await writeFile(path, `# the first one encrypts\n${keys.join('\n')}\n`, { mode: 0o600 })
  return path
}

function encrypted(keys: string, more = ''): string {
  return `${more}[blob_store.fs.encryption]\nkeys = { file = "${keys}" }\n`
}

/** With the whole configuration of a server. */
function keelson(
  { configFile }: Server,
  ...args: readonly string[]
): ReturnType<typeof runCommand> {
  return runCommand(
    ['-c', join(dirname(configFile), 'base.toml'), '-c', configFile, ...args],
    folder,
  )
}

async function untilSo(what: string, ask: () => Promise<boolean>): Promise<void> {
  let [isSo, isAsking] = [false, false]
  const look = async (): Promise<void> => {
    isAsking = true
    isSo = await ask().finally(() => {
      isAsking = false
    })
  }
  await until(
    what,
    () => {
      if (!isSo && !isAsking) void look().catch(() => undefined)
      return isSo
    },
    waitMs,
  )
}

async function withServer(
  options: ServerOptions,
  body: (server: Server) => Promise<void>,
): Promise<void> {
  const server = await startServer(options)
  try {
    await body(server)
  } finally {
    await server.stop()
  }
}

const digestOf = (bytes: Uint8Array): string => {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function pathOf(root: string, digest: string): string {
  const parsed = parseDigest(digest)
  assert.ok(parsed)
  return join(root, dataKey(parsed))
}

async function begin({ url }: Server): Promise<string> {
  const { status, headers } = await fetch(`${url}/v2/app/blobs/uploads/`, { method: 'POST' })
  assert.equal(status, 202)
  return new URL(headers.get('location') ?? '', url).href
}

async function push(server: Server, bytes: Uint8Array): Promise<string> {
  const digest = digestOf(bytes)
  const place = new URL(await begin(server))
  place.searchParams.set('digest', digest)
  const { status } = await fetch(place, { method: 'PUT', body: bytes })
  assert.equal(status, 201)
  return digest
}

interface Got {
  readonly status: number
  readonly bytes: Buffer
  readonly type: string
}

async function get({ url }: Server, digest: string, range?: string): Promise<Got> {
  const headers = range === undefined ? {} : { range }
  const reply = await fetch(`${url}/v2/app/blobs/${digest}`, { headers })
  const bytes = Buffer.from(await reply.arrayBuffer())
  return { status: reply.status, bytes, type: reply.headers.get('content-type') ?? '' }
}

test('blobs of all sizes come back whole, in ranges, and lie encrypted', async () => {
  const keys = await keyFile(first)
  await withServer({ toml: encrypted(keys) }, async (server) => {
    for (const size of [0, 1, segmentBytes, segmentBytes + 1, 3 * segmentBytes - 1, 5_000_000]) {
      const bytes = randomBytes(size)
      const digest = await push(server, bytes)
      assert.deepEqual((await get(server, digest)).bytes, bytes)
      const head = await fetch(`${server.url}/v2/app/blobs/${digest}`, { method: 'HEAD' })
      assert.equal(head.headers.get('content-length'), String(size))
      const file = await readFile(pathOf(server.rootDir, digest))
      assert.ok(isSealed(file))
      if (size > 64) assert.equal(file.indexOf(bytes.subarray(0, 64)), -1)
      if (size < 2 * segmentBytes) continue
      const ends = [0, 1, segmentBytes - 1, segmentBytes, segmentBytes + 1, size - 1]
      for (const from of ends) {
        for (const to of ends.filter((each) => each >= from)) {
          const { status, bytes: part } = await get(server, digest, `bytes=${from}-${to}`)
          assert.equal(status, 206)
          assert.ok(part.equals(bytes.subarray(from, to + 1)), `${from}-${to} of ${size}`)
        }
      }
      const { status, bytes: parts, type } = await get(server, digest, 'bytes=10-20,65530-65545')
      assert.equal(status, 206)
      assert.match(type, /multipart\/byteranges/)
      assert.notEqual(parts.indexOf(bytes.subarray(10, 21)), -1)
      assert.notEqual(parts.indexOf(bytes.subarray(65_530, 65_546)), -1)
    }
    const { out, code } = await keelson(server, 'check-config')
    assert.equal(code, 0, out)
    assert.ok(!`${out}${server.log.join('')}`.includes(first), 'a key was told')
  })
})

test('an upload in odd pieces, one of which breaks off, ends as what was sent', async () => {
  const keys = await keyFile(first)
  await withServer({ toml: encrypted(keys) }, async (server) => {
    const bytes = randomBytes(700_001)
    let place = await begin(server)
    const pieces = [1, 65_535, 100_000, 3, 200_000, 334_462]
    let at = 0
    for (const [index, length] of pieces.entries()) {
      if (index === 3) await breakOff(place)
      const body = bytes.subarray(at, at + length)
      let reply: Response | undefined
      // What broke off may hold the session for a while.
      await untilSo('a piece is taken', async () => {
        reply = await fetch(place, {
          method: 'PATCH',
          headers: { 'content-type': 'application/octet-stream' },
          body,
        })
        return reply.status === 202
      })
      at += length
      assert.equal(reply?.headers.get('range'), `0-${at - 1}`)
      place = new URL(reply.headers.get('location') ?? '', server.url).href
    }
    assert.equal(at, bytes.length)
    const end = new URL(place)
    end.searchParams.set('digest', digestOf(bytes))
    assert.equal((await fetch(end, { method: 'PUT' })).status, 201)
    assert.ok((await get(server, digestOf(bytes))).bytes.equals(bytes))
  })
})

/** A body of which only a part comes, and other bytes than those that follow. */
async function breakOff(place: string): Promise<void> {
  const sending = request(place, {
    method: 'PATCH',
    headers: { 'content-type': 'application/octet-stream', 'content-length': '9000000' },
  })
  sending.on('error', () => undefined)
  await new Promise<void>((sent) => sending.write(Buffer.alloc(300_000, 'x'), () => sent()))
  sending.destroy()
}

test('a changed file is never served, and a scrub takes it out of the way', async () => {
  const keys = await keyFile(first)
  await withServer({ toml: encrypted(keys) }, async (server) => {
    const bytes = randomBytes(400_000)
    const digest = await push(server, bytes)
    const path = pathOf(server.rootDir, digest)
    const file = await readFile(path)
    const changed = Buffer.from(file)
    const place = slotPosition(3) + 99
    changed[place] = (changed[place] ?? 0) ^ 4
    await writeFile(path, changed)
    const pulled = await get(server, digest, 'bytes=200000-300000').then(
      ({ status, bytes: part }) => (status < 300 ? part.length : 0),
      () => 0,
    )
    assert.equal(pulled, 0, 'bytes of a changed segment were served')
    const { code, out } = await keelson(server, 'scrub')
    const found = await readdir(join(server.rootDir, '_keelson', 'quarantine'))
    assert.equal(found.length, 1, out)
    assert.ok(code === 1 || code === 0, out)
    // Whoever brings it again heals it.
    await push(server, bytes)
    assert.ok((await get(server, digest)).bytes.equals(bytes))
  })
})

test('without its key, or with another one, a server does not start and says why', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const keys = await keyFile(first)
  await withServer({ rootDir, toml: encrypted(keys) }, async (server) => {
    await push(server, randomBytes(10))
  })
  await assert.rejects(
    startServer({ rootDir }),
    new RegExp(`encrypted with the key ${idOf(first)}`),
  )
  const other = encrypted(await keyFile(second))
  await assert.rejects(startServer({ rootDir, toml: other }), /behind the first one/)
})

test('blobs from before are served beside encrypted ones, and the doctor counts them', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const bytes = randomBytes(100_000)
  let old = ''
  await withServer({ rootDir }, async (server) => {
    old = await push(server, bytes)
  })
  const toml = encrypted(await keyFile(first))
  await withServer({ rootDir, toml }, async (server) => {
    await push(server, randomBytes(100))
    assert.ok((await get(server, old)).bytes.equals(bytes))
    assert.ok(!isSealed(await readFile(pathOf(rootDir, old))))
    const { out } = await keelson(server, 'doctor')
    assert.match(out, /1 of 2 blobs that were looked at are not encrypted/)
    const scrub = await keelson(server, 'scrub')
    assert.equal(scrub.code, 0, scrub.out)
  })
})

test('keys change while images are pulled, through a kill, and the old one is needed no more', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const image = await makeImage(join(rootDir, '..', 'image-rotated'), {
    ...{ layers: 2, bytesPerLayer: 150_000, seed: 'rotated' },
  })
  const blobs: string[] = []
  await withServer({ rootDir, toml: encrypted(await keyFile(first)) }, async (server) => {
    await pushImage(server.url, 'app', 'latest', image)
    for (let i = 0; i < 40; i++) blobs.push(await push(server, randomBytes(2000 + i)))
  })
  const both = encrypted(await keyFile(second, first))
  const killed = await startServer({ rootDir, toml: both })
  const running = keelson(killed, 'blobs', 'rewrap', '--online')
  killed.kill()
  await killed.exited
  await running
  await withServer({ rootDir, toml: both }, async (server) => {
    await assertServesImage(server.url, 'app', 'latest', image)
    for (const blob of blobs) assert.equal((await get(server, blob)).status, 200)
    let told = ''
    // The record of the run that was killed may still be held.
    await untilSo('a run is let in', async () => {
      const { code, out } = await keelson(server, 'blobs', 'rewrap', '--online')
      told = out
      return code === 0
    })
    assert.match(told, new RegExp(`only the key ${idOf(second)} is needed`))
    for (const blob of blobs) {
      assert.deepEqual(wrapIdsNow(pathOf(rootDir, blob)), [idOf(second)])
    }
  })
  await withServer({ rootDir, toml: encrypted(await keyFile(second)) }, async (server) => {
    await assertServesImage(server.url, 'app', 'latest', image)
    for (const blob of blobs) assert.equal((await get(server, blob)).status, 200)
  })
})

test('a server that was not restarted takes nothing more once its key is retired', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const keys = await keyFile(first)
  const toml = encrypted(keys)
  await withServer({ rootDir, toml }, async (server) => {
    const bytes = randomBytes(70_000)
    const digest = await push(server, bytes)
    const both = `${second}\n${first}\n`
    const store = await openFsBlobStore({ rootDir, durability: 'fsync', keys: parseKeys(both) })
    await store.sealing?.beginRetiring('0000000a')
    assert.equal(await store.sealing?.rewrap(digest as Digest), 'rewrapped')
    assert.deepEqual(await store.sealing?.endRetiring('0000000a'), [idOf(second)])
    await store.close()

    const place = new URL(await begin(server))
    place.searchParams.set('digest', digest)
    const refused = await fetch(place, { method: 'PUT', body: bytes })
    assert.equal(refused.status, 503)
    assert.ok(!(await refused.text()).includes(idOf(first)), 'clients are told of keys')
    await untilSo('its log says why', async () => {
      return server.log.join('').includes(`blobs rewrap has retired the key ${idOf(first)}`)
    })
    assert.equal((await fetch(place, { method: 'DELETE' })).status, 204)
    await writeFile(keys, both)
  })
  await withServer({ rootDir, toml }, async (server) => {
    const bytes = randomBytes(70_000)
    assert.ok((await get(server, await push(server, bytes))).bytes.equals(bytes))
  })
  assert.deepEqual(await readKeyList(rootDir), [idOf(second)])
})

test('a program gives the keys, and one that fails or hangs keeps the server from starting', async () => {
  const program = async (name: string, lines: string): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, `#!/bin/sh\n${lines}\n`)
    await chmod(path, 0o700)
    return `[blob_store.fs.encryption]\nkeys_command = "${path}"\nkeys_timeout = "2s"\n`
  }
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const good = await program('good', `echo ${second}`)
  await withServer({ rootDir, toml: good }, async (server) => {
    const bytes = randomBytes(100_000)
    assert.ok((await get(server, await push(server, bytes))).bytes.equals(bytes))
  })
  const start = async (name: string, lines: string): Promise<unknown> => {
    const toml = await program(name, lines)
    return startServer({ rootDir, toml }).then(
      (server) => server.stop(),
      (error: unknown) => String(error),
    )
  }
  assert.match(String(await start('fails', 'exit 3')), /keys_command.*ended with code 3/)
  assert.match(String(await start('hangs', 'sleep 1000 & wait')), /longer than keys_timeout/)
  assert.match(String(await start('babbles', 'yes')), /printed more than 65536 bytes/)
  const wrong = String(await start('wrong', 'echo secret-text'))
  assert.match(wrong, /line 1 is not a key/)
  assert.ok(!wrong.includes('secret-text'))
})

test('a backup holds what was pushed, and is restored to a store that encrypts', async () => {
  const rootDir = await mkdtemp(join(folder, 'root-'))
  const toml = encrypted(await keyFile(first))
  const image = await makeImage(join(rootDir, '..', 'image-saved'), {
    ...{ layers: 2, bytesPerLayer: 300_000, seed: 'saved' },
  })
  const backup = await mkdtemp(join(folder, 'backup-'))
  await withServer({ rootDir, toml }, async (server) => {
    await pushImage(server.url, 'app', 'latest', image)
    const { code, out, err } = await keelson(server, 'backup', 'create', '--to', backup)
    assert.equal(code, 0, out + err)
    const layout = join(folder, 'layout')
    const exported = await keelson(server, 'export', '--to', 'oci-layout', layout, 'app:latest')
    assert.equal(exported.code, 0, exported.err)
    const [, layer] = [image.config, ...image.layers]
    const hex = layer?.digest.slice('sha256:'.length) ?? ''
    const bytes = await readFile(join(layout, 'blobs', 'sha256', hex))
    assert.equal(digestOf(bytes), layer?.digest)
  })
  const other = await mkdtemp(join(folder, 'root-'))
  const config = join(folder, 'restore.toml')
  await writeFile(
    config,
    `[blob_store.fs]\nroot_dir = "${join(other, 'r')}"\n[global.access_policy]\ndefault = "allow"\n${toml}`,
  )
  const { code, out, err } = await runCommand(['-c', config, 'backup', 'restore', backup], folder)
  assert.equal(code, 0, out + err)
  await withServer({ rootDir: join(other, 'r'), toml }, async (server) => {
    await assertServesImage(server.url, 'app', 'latest', image)
    const layer = image.layers[0]?.digest ?? ''
    assert.ok(isSealed(await readFile(pathOf(join(other, 'r'), layer))))
  })
})
