// Goal: keys are made, listed and revoked while no server runs, as a server then has them, and nothing is
// done beside one that lives. Method: the commands on a store of their own, and real servers on it.
import assert from 'node:assert/strict'
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'
import { needsThat } from '../support/tools.ts'

const hash = hashPassword('tuesday-fjord-lemon')

class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'keelson-offline-'))
  readonly #more: string

  constructor(more = '') {
    this.#more = more
    after(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  get config(): string {
    return `
[server]
port = 0
[admin]
socket = ${JSON.stringify(this.at('admin.sock'))}
[blob_store.fs]
root_dir = ${JSON.stringify(this.at('data'))}
[metadata_store.lmdb]
path = ${JSON.stringify(this.at('meta'))}
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hash)}
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
${this.#more}`
  }

  serve(): Promise<Server> {
    return startServer({ base: this.config })
  }

  /** A server that has made the store, and ended. */
  async begin(): Promise<void> {
    await stop(await this.serve())
  }

  async run(...args: readonly string[]): Promise<Ran> {
    return this.runWith(this.config, ...args)
  }

  async runWith(config: string, ...args: readonly string[]): Promise<Ran> {
    writeFileSync(this.at('config.toml'), config)
    return runCommand(['-c', this.at('config.toml'), 'token', ...args], this.folder)
  }

  async create(name: string): Promise<string> {
    const { code, out, err } = await this.run(
      ...['create', '--name', name, '--scope', 'repository:*:pull', '--user', 'ci'],
    )
    assert.equal(code, 0, err)
    return out.trim()
  }
}

async function stop(server: Server): Promise<void> {
  assert.equal((await server.stop()).code, 0, server.log.slice(-5).join('\n'))
}

async function statusWith(server: Server, key: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}` }
  const response = await fetch(`${server.url}/v2/a/manifests/latest`, { headers })
  await response.arrayBuffer()
  return response.status
}

describe('without a server', () => {
  for (const sharing of ['exclusive', 'shared']) {
    test(`a key is made, listed and revoked in a store that is ${sharing}`, async () => {
      const site = new Site(`[storage]\nsharing = "${sharing}"\n`)
      await site.begin()
      const [kept, ended] = [await site.create('kept'), await site.create('ended')]
      const again = await site.run('create', '--name', 'kept', '--scope', 'repository:*:pull')
      assert.deepEqual([again.code, again.out], [1, ''])
      assert.match(again.err, /there is an API key with the name kept/)
      const { apiKeys } = JSON.parse((await site.run('list', '--json')).out) as {
        apiKeys: readonly { id: string; name: string }[]
      }
      assert.deepEqual(
        apiKeys.map(({ name }) => name),
        ['kept', 'ended'],
      )
      assert.match((await site.run('revoke', apiKeys[1]?.id ?? '')).out, /^revoked api-key /)
      const server = await site.serve()
      assert.deepEqual(
        [await statusWith(server, kept), await statusWith(server, ended)],
        [404, 401],
      )
      // From now on the server does it.
      assert.equal(await statusWith(server, await site.create('by-server')), 404)
      await stop(server)
      const all = await site.run('revoke', '--user', 'ci')
      assert.match(all.out, /^revoked what ci has: 2 API keys/)
      const last = await site.serve()
      assert.equal(await statusWith(last, kept), 401)
      await stop(last)
    })
  }

  test('a user that the configuration does not have gets no key', async () => {
    const site = new Site()
    await site.begin()
    const scope = ['--scope', 'repository:*:pull']
    const { code, err } = await site.run('create', '--name', 'a', ...scope, '--user', 'nobody')
    assert.deepEqual([code, err], [1, 'keelson: username: the configuration has no such user\n'])
  })

  test('the call is in the audit log, and the key is not', async () => {
    const site = new Site()
    const audit = site.at('audit.jsonl')
    const config = `${site.config}[audit]\nfile = ${JSON.stringify(audit)}\n`
    await site.begin()
    const scope = ['--scope', 'repository:*:pull']
    const { out, code, err } = await site.runWith(config, 'create', '--name', 'told', ...scope)
    assert.equal(code, 0, err)
    const text = readFileSync(audit, 'utf8')
    assert.match(text, /"admin".*create/)
    assert.ok(!text.includes(out.trim()))
  })

  test('a store that is not there is not made', async () => {
    const site = new Site()
    for (const args of [['list'], ['revoke', '--user', 'ci']]) {
      const { code, err } = await site.run(...args)
      assert.equal(code, 1)
      assert.match(err, /no server answers on .*, and there is no metadata store in .*meta yet/)
    }
    assert.ok(!existsSync(site.at('meta')))
  })

  test('a store in memory is told to be one', async () => {
    const site = new Site()
    const config = `[blob_store.memory]\n[metadata_store.memory]\n[admin]\nsocket = "${site.at('a')}"\n`
    const { code, err } = await site.runWith(config, 'list')
    assert.equal(code, 1)
    assert.match(err, /no server answers on .*a metadata store in memory is nowhere else/)
  })

  test(
    'the store of another user is left alone',
    needsThat(process.getuid?.() === 0 ? [] : ['root']),
    async () => {
      const site = new Site()
      await site.begin()
      chownSync(site.at('meta/data.mdb'), 12_345, 12_345)
      const { code, err } = await site.run('list')
      assert.equal(code, 1)
      assert.match(err, /belongs to user 12345: run this as that user/)
    },
  )
})

describe('beside a server that listens elsewhere', () => {
  for (const sharing of ['exclusive', 'shared']) {
    test(`the ${sharing} store is refused, with whoever has it`, async () => {
      const site = new Site(`[storage]\nsharing = "${sharing}"\n`)
      const server = await site.serve()
      const other = site.config.replace('admin.sock', 'other.sock')
      const { code, err } = await site.runWith(other, 'revoke', '--user', 'ci')
      assert.equal(code, 1)
      assert.match(err, new RegExp(`no server answers on .*other\\.sock.*process ${server.pid} `))
      assert.match(err, /its admin\.socket is another one/)
      await stop(server)
    })
  }
})

test('a socket that a killed server left behind stands in nobody’s way', async () => {
  const site = new Site()
  const server = await site.serve()
  server.kill()
  await server.exited
  assert.ok(existsSync(site.at('admin.sock')))
  const key = await site.create('after-kill')
  const next = await site.serve()
  assert.equal(await statusWith(next, key), 404)
  await stop(next)
})
