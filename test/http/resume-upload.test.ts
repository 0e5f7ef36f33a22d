// Goal: a session outlives its server: after SIGTERM and after SIGKILL it stands where the last
// acknowledged request left it, and goes on to the right blob. Method: one root directory, two servers
// in turn; sessions of every kind are begun on the first, half of them broken in the middle of a
// chunk, and closed on the second in every way.
import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  type Algorithm,
  assertStatus,
  digestOf,
  locationOf,
  type RegistryClient,
} from '../support/registry-client.ts'
import { until } from '../support/until.ts'
import { Product, setups, temporaryFolder } from './product.ts'

const bytes = seededBytes('resume-upload', 700_000)
const step = 250_001
const cut = 2 * step
const rest = bytes.subarray(cut)
const restRange = `${cut}-${bytes.length - 1}`
const junk = Buffer.alloc(300_000, 'junk')

/** How the session is begun: as a stream, in announced chunks, or one after the other. */
const beginnings = ['streamed', 'chunked', 'chunked then streamed'] as const
/** How the rest comes after the restart. */
const closings = [
  'a stream and an empty PUT',
  'a chunk and an empty PUT',
  'a closing chunk',
  'nothing more',
] as const

interface Begun {
  readonly name: string
  readonly beginning: (typeof beginnings)[number]
  readonly closing: (typeof closings)[number]
  readonly algorithm: Algorithm
  readonly isBroken: boolean
  readonly repository: string
  location: string
}

function cases(): readonly Begun[] {
  return beginnings.flatMap((beginning, i) =>
    closings.map((closing, j) => {
      // Every other one, so that each beginning and each closing comes both ways.
      const isBroken = (i + j) % 2 === 0
      // sha512 against a session begun for sha256 makes the second server read all of it again.
      const algorithm = beginning === 'streamed' && isBroken ? 'sha512' : 'sha256'
      const name = `${beginning}${isBroken ? ', broken in a chunk' : ''}, closed by ${closing}`
      const repository = `resume/session-${i}-${j}`
      return { name, beginning, closing, algorithm, isBroken, repository, location: '' }
    }),
  )
}

async function begin(client: RegistryClient, session: Begun): Promise<void> {
  session.location = await client.startUpload(session.repository)
  for (const [i, from] of [0, step].entries()) {
    const isStream =
      session.beginning === 'streamed' || (i === 1 && session.beginning !== 'chunked')
    const range = isStream ? undefined : `${from}-${from + step - 1}`
    const answer = await client.patch(session.location, bytes.subarray(from, from + step), range)
    session.location = locationOf(assertStatus(answer, 202))
  }
}

/** A chunk of the wrong bytes, of which the server has taken some when it ends. */
async function beginJunk(port: number, location: string): Promise<RawConnection> {
  const connection = await RawConnection.open(port)
  const head = `PATCH ${location} HTTP/1.1\r\nHost: a\r\nContent-Length: ${2 * junk.length}\r\n\r\n`
  connection.write(head, junk)
  await connection.flushed()
  return connection
}

async function close(client: RegistryClient, session: Begun): Promise<Buffer> {
  const { algorithm, closing } = session
  const content = closing === 'nothing more' ? bytes.subarray(0, cut) : bytes
  const digest = digestOf(content, algorithm)
  let location = session.location
  if (closing === 'a closing chunk') {
    assertStatus(await client.finish(location, digest, rest, restRange), 201)
    return content
  }
  if (closing !== 'nothing more') {
    const range = closing === 'a chunk and an empty PUT' ? restRange : undefined
    location = locationOf(assertStatus(await client.patch(location, rest, range), 202))
  }
  assertStatus(await client.finish(location, digest), 201)
  return content
}

async function assertHolds(client: RegistryClient, path: string, content: Buffer): Promise<void> {
  assert.ok(assertStatus(await client.get(path), 200).body.equals(content))
}

// A stop treats sessions of both set-ups alike; who may take over from the dead differs.
const ends = [
  ['SIGTERM', setups('alone')],
  ['SIGKILL', setups('alone', 'shared')],
] as const

for (const [signal, taken] of ends) {
  for (const setup of taken) {
    describe(`resume after ${signal}, ${setup.name}`, () => {
      const sessions = cases()
      const folder = temporaryFolder()
      const second = new Product()
      before(async () => {
        const first = new Product()
        // A stop must not wait for the broken ones.
        const toml = `${setup.toml ?? ''}\n[server]\nshutdown_timeout = "0s"\n`
        await first.start({ ...setup, toml, rootDir: folder.path })
        for (const session of sessions) await begin(first.client, session)
        const broken = await Promise.all(
          sessions
            .filter(({ isBroken }) => isBroken)
            .map(({ location }) => beginJunk(first.server.port, location)),
        )
        await first.untilStatus(
          'every broken chunk is being received',
          ({ ingest }) => ingest.receiving === broken.length,
        )
        first.client.close()
        if (signal === 'SIGKILL') first.server.kill()
        const exit = await (signal === 'SIGKILL' ? first.server.exited : first.server.stop())
        assert.deepEqual(
          exit,
          signal === 'SIGKILL' ? { code: null, signal } : { code: 0, signal: null },
        )
        for (const connection of broken) connection.close()
        await second.start({ ...setup, rootDir: folder.path })
      })
      after(() => second.stop())

      for (const session of sessions) {
        test(session.name, async () => {
          const { client } = second
          const status = assertStatus(await client.get(session.location), 204)
          assert.equal(status.headers['range'], `0-${cut - 1}`)
          const content = await close(client, session)
          const digest = digestOf(content, session.algorithm)
          await assertHolds(client, `/v2/${session.repository}/blobs/${digest}`, content)
        })
      }
    })
  }
}

describe('resume with staged bytes lost', () => {
  const folder = temporaryFolder()

  test('a session whose bytes are gone from the disk never becomes a blob', async () => {
    const first = new Product()
    await first.start({ rootDir: folder.path })
    const sessions = cases().filter(({ isBroken }) => !isBroken)
    for (const session of sessions) await begin(first.client, session)
    await first.stop()
    for (const { location } of sessions) {
      const id = location.slice(location.lastIndexOf('/') + 1)
      await truncate(join(folder.path, '_keelson', 'uploads', id), 1000)
    }
    const second = new Product()
    await second.start({ rootDir: folder.path })
    try {
      for (const session of sessions) {
        // Whatever comes next finds it out; a client then begins again.
        await assert.rejects(close(second.client, session), /BLOB_UPLOAD_UNKNOWN/)
        assertStatus(await second.client.get(session.location), 404)
        const digest = digestOf(
          session.closing === 'nothing more' ? bytes.subarray(0, cut) : bytes,
          session.algorithm,
        )
        assertStatus(await second.client.head(`/v2/${session.repository}/blobs/${digest}`), 404)
        await until('the log tells of it', () => {
          const id = session.location.slice(session.location.lastIndexOf('/') + 1)
          const told = `read the staged bytes of upload ${id}: failed`
          return second.server.log.some((line) => line.includes(told))
        })
      }
    } finally {
      second.client.close()
      assert.deepEqual(await second.server.stop(), { code: 0, signal: null })
    }
  })
})
