// Goal: a changed configuration is in force from the next request on, whole or not at all, and harms
// nobody who is being served. Method: a running server on each transport whose files change under it.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { hashPassword } from '../../workers/credentials.ts'
import { seededBytes } from '../support/images.ts'
import { createPki, needsOpenssl } from '../support/pki.ts'
import { RawConnection } from '../support/raw-http.ts'
import { assertStatus, digestOf, RegistryClient } from '../support/registry-client.ts'
import { needsTransport } from '../support/transport.ts'
import { until } from '../support/until.ts'
import { adminCall, temporaryFolder } from './product.ts'
import { ReloadScene, statusOn } from './reload-scene.ts'

function policy(...rules: readonly string[]): string {
  return `[global.access_policy]\ndefault = "allow"\nrules = ${JSON.stringify(rules)}\n`
}

const allowAll = policy()
const noLists = policy("request.action == 'list-catalog'")
const noPushes = policy("request.action in ['start-upload', 'update-upload', 'complete-upload']")

async function figures(scene: ReloadScene): Promise<Readonly<Record<string, unknown>>> {
  const socket = join(scene.server.rootDir, '_keelson', 'admin.sock')
  const { body } = await adminCall(socket, '/status')
  return (JSON.parse(body) as { reload: Record<string, unknown> }).reload
}

function basic(username: string, password: string): string {
  return `Authorization: Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

for (const transport of ['uws', 'node'] as const) {
  const own = `[server]\ntransport = "${transport}"\n`

  describe(`a changed configuration, ${transport}`, needsTransport(transport), () => {
    let scene: ReloadScene
    before(async () => {
      scene = await ReloadScene.start(own + allowAll)
    })
    after(() => scene.stop())

    test('holds for the next request of a connection that was open before', async () => {
      const connection = await RawConnection.open(scene.server.port)
      assert.equal(await statusOn(connection, '/v2/_catalog'), 200)
      const { changed } = await scene.change(own + noLists)
      assert.deepEqual(changed, ['global.access_policy.rules'])
      assert.equal(await statusOn(connection, '/v2/_catalog'), 401)
      await scene.change(own + allowAll)
      assert.equal(await statusOn(connection, '/v2/_catalog'), 200)
      connection.reset()
    })

    test('lets an upload end that began before it', async () => {
      const bytes = seededBytes('reload', 200_000)
      const client = new RegistryClient(scene.server.url)
      const location = await client.startUpload('under/way')
      const upload = await RawConnection.open(scene.server.port)
      const target = `${location}?digest=${digestOf(bytes)}`
      upload.write(`PUT ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes.length}\r\n\r\n`)
      upload.write(bytes.subarray(0, 100_000))
      await upload.flushed()
      await scene.change(own + noPushes)
      assertStatus(await client.call('POST', '/v2/under/way/blobs/uploads/'), 401)
      upload.write(bytes.subarray(100_000))
      assert.equal((await upload.reply()).status, 201)
      await scene.change(own + allowAll)
      const { body } = assertStatus(await client.get(`/v2/under/way/blobs/${digestOf(bytes)}`), 200)
      assert.ok(body.equals(bytes))
      upload.reset()
      client.close()
    })

    test('that is no good changes nothing, and says so', async () => {
      const connection = await RawConnection.open(scene.server.port)
      for (const [broken, words] of [
        [`${noLists}nonsense = `, /Invalid TOML document/],
        [`${noLists}[global.acess_policy]\n`, /did you mean global\.access_policy\?/],
        [policy("request.actoin == 'list-catalog'"), /actoin/],
        [
          `${noLists}[auth]\nhtpasswd = "absent"\n`,
          /absent: cannot be read|absent:1: cannot be read/,
        ],
        [`${noLists}[global]\nimmutable_tags_exclusions = ["("]\n`, /immutable_tags_exclusions/],
      ] as const) {
        const { problems = [] } = await scene.change(own + broken)
        assert.match(problems.join('\n'), words)
        assert.equal((await figures(scene))['isLastOk'], false)
        assert.equal(await statusOn(connection, '/v2/_catalog'), 200)
      }
      await scene.change(own + allowAll)
      assert.equal((await figures(scene))['isLastOk'], true)
      connection.reset()
    })

    test('names the keys that wait for a restart, and takes the others', async () => {
      const more = '[server.limits]\nconnections_max = 77\n[cache]\nreply_bytes = "1MiB"\n'
      const { changed, needsRestart } = await scene.change(`${own}${more}${noLists}`)
      assert.deepEqual(changed, ['global.access_policy.rules'])
      assert.deepEqual([...needsRestart].sort(), [
        'cache.reply_bytes',
        'server.limits.connections_max',
      ])
      assert.equal((await figures(scene))['needsRestart'], 2)
      await scene.change(own + allowAll)
      assert.equal((await figures(scene))['needsRestart'], 0)
    })

    test('is read on SIGHUP too, though the file is as it was', async () => {
      process.kill(scene.server.pid, 'SIGHUP')
      const { changed, problems } = await scene.reloaded()
      assert.deepEqual([changed, problems], [[], undefined])
    })
  })

  describe(`a hundred reloads, ${transport}`, needsTransport(transport), () => {
    const unwatched = `${own}watch_config = false\n`
    let scene: ReloadScene
    before(async () => {
      scene = await ReloadScene.start(unwatched + allowAll)
    })
    after(() => scene.stop())

    test('under load, every second one broken: no request fails', async () => {
      let isOver = false
      const wrong: string[] = []
      let requests = 0
      const work = async (): Promise<void> => {
        const connection = await RawConnection.open(scene.server.port)
        while (!isOver) {
          const status = await statusOn(connection, '/v2/nobody/tags/list')
          if (status !== 404) wrong.push(`a tag list: ${status}`)
          requests += 1
        }
        connection.reset()
      }
      const workers = Array.from({ length: 4 }, work)
      const probe = await RawConnection.open(scene.server.port)
      for (let round = 0; round < 50; round += 1) {
        const [toml, status] = round % 2 === 0 ? [noLists, 401] : [allowAll, 200]
        assert.equal((await scene.change(unwatched + toml)).problems, undefined)
        assert.equal(await statusOn(probe, '/v2/_catalog'), status, `round ${round}`)
        const { problems } = await scene.change(`${unwatched}${policy('broken(')}`)
        assert.notEqual(problems, undefined)
        assert.equal(await statusOn(probe, '/v2/_catalog'), status, `round ${round}, broken`)
      }
      isOver = true
      await Promise.all(workers)
      probe.reset()
      assert.deepEqual(wrong, [])
      assert.ok(requests > 1000, `${requests} requests were made meanwhile`)
    })
  })
}

describe('logins and a changed configuration', () => {
  const password = 'tuesday-fjord-lemon'
  const hash = hashPassword(password)
  const folder = temporaryFolder()
  const auth = (): string =>
    `[auth]\nhtpasswd = ${JSON.stringify(join(folder.path, 'htpasswd'))}\n${policy("identity.username == ''")}`
  let scene: ReloadScene
  before(async () => {
    await writeFile(join(folder.path, 'htpasswd'), `ann:${hash}\n`, { mode: 0o600 })
    scene = await ReloadScene.start(auth())
  })
  after(() => scene.stop())

  test('whoever is taken out of the htpasswd file is out, on a connection of before too', async () => {
    const connection = await RawConnection.open(scene.server.port)
    const ann = [basic('ann', password)]
    assert.equal(await statusOn(connection, '/v2/', ann), 200)
    await writeFile(join(folder.path, 'htpasswd'), `bob:${hash}\n`, { mode: 0o600 })
    assert.equal((await scene.reloaded()).problems, undefined)
    assert.equal(await statusOn(connection, '/v2/', ann), 401)
    assert.equal(await statusOn(connection, '/v2/', [basic('bob', password)]), 200)
    connection.reset()
  })

  test('who guesses gets no new start', async () => {
    const connection = await RawConnection.open(scene.server.port)
    const guess = (number: number): Promise<number> =>
      statusOn(connection, '/v2/', [basic('bob', `guess ${number}`)])
    const statuses: number[] = []
    for (let number = 0; number < 8; number += 1) statuses.push(await guess(number))
    assert.equal(statuses.at(-1), 429)
    process.kill(scene.server.pid, 'SIGHUP')
    await scene.reloaded()
    assert.equal(await guess(9), 429)
    // And who was right before need not wait for the guesser.
    assert.equal(await statusOn(connection, '/v2/', [basic('bob', password)]), 200)
    connection.reset()
  })
})

describe('what a reload leaves in the audit log', () => {
  const folder = temporaryFolder()
  let scene: ReloadScene
  const toml = (secret: string, rules: string): string => `[auth.gateway]
header = "X-User"
secret_header = "X-Secret"
shared_secret = "${secret}"
proxies = ["127.0.0.1"]
[audit]
file = ${JSON.stringify(join(folder.path, 'audit.log'))}
${rules}`
  before(async () => {
    scene = await ReloadScene.start(toml('the first long secret of it', allowAll))
  })
  after(() => scene.stop())

  test('is what changed, and never a secret', async () => {
    await scene.change(toml('the second long secret of it', noLists))
    const file = join(folder.path, 'audit.log')
    const text = await untilText(file, '"changes"')
    const line = text.split('\n').find((each) => each.includes('"changes"')) ?? ''
    assert.match(line, /auth\.gateway\.shared_secret/)
    assert.match(line, /global\.access_policy\.rules/)
    assert.match(line, /list-catalog/)
    assert.doesNotMatch(text + scene.server.log.join('\n'), /long secret of it/)
  })
})

describe('a reload with TLS files that cannot be used', needsOpenssl, () => {
  const folder = temporaryFolder()
  let scene: ReloadScene
  const toml = (certificate: string, key: string, rules: string): string => `[server.tls]
server_certificate_bundle = ${JSON.stringify(certificate)}
server_private_key = ${JSON.stringify(key)}
${rules}`

  after(() => scene.stop())

  test('changes nothing else either; with good ones all of it', async () => {
    const pki = await createPki(folder.path)
    const { server } = pki
    const other = await pki.serverCa.serverCertificate()
    scene = await ReloadScene.start(toml(server.bundleFile, server.keyFile, allowAll))
    const tls = { rejectUnauthorized: false }
    const connection = await RawConnection.open({ port: scene.server.port, tls })
    const { problems } = await scene.change(toml(server.bundleFile, other.keyFile, noLists))
    assert.match(String(problems), /TLS files cannot be used/)
    assert.equal(await statusOn(connection, '/v2/_catalog'), 200)
    const good = await scene.change(toml(other.bundleFile, other.keyFile, noLists))
    assert.equal(good.problems, undefined)
    assert.equal(await statusOn(connection, '/v2/_catalog'), 401)
    connection.close()
    const next = await RawConnection.open({ port: scene.server.port, tls })
    const shown = (next.socket as TLSSocket).getPeerCertificate()
    assert.equal(shown.serialNumber, new X509Certificate(other.pem).serialNumber)
    next.close()
  })
})

async function untilText(file: string, words: string): Promise<string> {
  let text = ''
  let reading = Promise.resolve()
  const read = (): boolean => {
    reading = reading.then(async () => {
      text = await readFile(file, 'utf8')
    })
    return text.includes(words)
  }
  await until(`${words} in ${file}`, read)
  await reading
  return text
}
