// Goal: `audit verify` says whether a log is sound and where it is not, and `policy explain` says what the
// server remembers. Method: the commands over files of a real queue, and beside a socket that answers as
// the test says.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openQueue } from '../audit/scene.ts'
import { type Ran, runCommand } from '../support/command-line.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keelson-cli-audit-'))
})
after(() => rm(folder, { recursive: true }))

function run(...args: readonly string[]): Promise<Ran> {
  return runCommand(args, folder)
}

async function logOf(name: string, count: number): Promise<string> {
  const path = join(folder, name)
  const { queue, add } = await openQueue(path)
  add(count)
  await queue.close(5_000)
  return path
}

describe('audit verify', () => {
  test('a sound log is OK, and its head is told', async () => {
    const path = await logOf('sound.jsonl', 10)
    const [, head] = /"hash":"([0-9a-f]{64})"\}\n$/.exec(readFileSync(path, 'utf8')) ?? []
    assert.deepEqual(await run('audit', 'verify', path), {
      ...{ code: 0, err: '' },
      out: `10 records are sound, up to 10\nhead ${head}\nOK\n`,
    })
    const absent = 'f'.repeat(64)
    const cut = await run('audit', 'verify', path, '--head', absent)
    assert.equal(cut.code, 1)
    assert.match(cut.err, /^keelson: sound\.jsonl: no record has the hash f+: the end was cut off/)
  })

  test('the first line that was changed is named, in the file where it is', async () => {
    const first = await logOf('first.jsonl', 10)
    const lines = readFileSync(first, 'utf8').split(/(?<=\n)/)
    const second = join(folder, 'second.jsonl')
    writeFileSync(first, lines.slice(0, 5).join(''))
    writeFileSync(second, lines.slice(5).join('').replace('"n":7', '"n":8'))
    const { code, err, out } = await run('audit', 'verify', first, second)
    assert.equal(code, 1)
    assert.equal(
      err,
      'keelson: second.jsonl:3: its hash is not that of its content: it was changed\n',
    )
    assert.match(out, /^7 records are sound, up to 7\nhead [0-9a-f]{64}\n$/)
  })

  test('without a file it is that of the configuration', async () => {
    const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
    const config = join(folder, 'config.toml')
    writeFileSync(config, stores)
    const none = await run('-c', config, 'audit', 'verify')
    assert.deepEqual(
      [none.code, none.err],
      [1, 'keelson: audit.file is not configured: name the files\n'],
    )
    const path = await logOf('configured.jsonl', 3)
    writeFileSync(config, `${stores}[audit]\nfile = ${JSON.stringify(path)}\n`)
    assert.match((await run('-c', config, 'audit', 'verify')).out, /^3 records are sound/)
  })

  test('what cannot be read, or understood, is said', async () => {
    const absent = await run('audit', 'verify', join(folder, 'absent'))
    assert.equal(absent.code, 1)
    assert.match(absent.err, /ENOENT/)
    const odd = await run('audit', 'verify', '--head', 'abc', 'x')
    assert.deepEqual([odd.code, odd.err], [2, 'keelson: --head: expected 64 hexadecimal digits\n'])
  })
})

describe('policy explain', () => {
  const id = '00000000-0000-4000-8000-000000000000'
  const trace = {
    ...{ decision_id: id, time: '2026-01-02T00:00:00.000Z', allowed: false },
    ...{ action: 'put-manifest', repository: 'prod/app', reference: 'v1', client_ip: '192.0.2.7' },
    ...{ method: 'PUT', path: '/v2/prod/app/manifests/v1', user_agent: 'docker/27.1' },
    identity: {
      ...{ id: 'build', username: 'ci', groups: ['dev'], auth_method: 'token', token_id: 'j1' },
      ...{ certificate: { common_names: ['host-1'] }, oidc_provider: null },
    },
    policies: [
      {
        ...{ policy: 'global', default: 'deny', allowed: true },
        rules: [
          {
            ...{ text: "identity.username\n  == 'ci'", file: '/etc/k.toml', line: 3 },
            ...{ outcome: 'true', error: null, decides: true },
          },
        ],
      },
    ],
    guards: [
      {
        ...{ guard: 'auth.webhook.scan', result: 'deny', reason: 'not scanned' },
        ...{ decision_id: 'd7', cached: true },
      },
    ],
    ...{ reason: null, message: null },
  }

  let answer: { readonly status: number; readonly body: object }
  const server = createServer((request, response) => {
    assert.equal(request.url, `/decisions?id=${id}`)
    response.writeHead(answer.status).end(JSON.stringify(answer.body))
  })
  before(async () => {
    const socket = join(folder, 'admin.sock')
    const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
    const admin = `[admin]\nsocket = ${JSON.stringify(socket)}\n`
    writeFileSync(join(folder, 'explain.toml'), `${stores}${admin}`)
    await new Promise<void>((resolve) => server.listen(socket, resolve))
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })

  function explain(status: number, body: object, ...words: readonly string[]): Promise<Ran> {
    answer = { status, body }
    return run('-c', join(folder, 'explain.toml'), 'policy', 'explain', id, ...words)
  }

  test('prints who, what, every step and what decided', async () => {
    const { code, out } = await explain(200, trace)
    assert.equal(code, 0)
    assert.equal(
      out,
      `decision ${id}, 2026-01-02T00:00:00.000Z
user=ci,id=build,groups=dev,cn=host-1,token j1 (token) from 192.0.2.7: put-manifest prod/app v1
PUT /v2/prod/app/manifests/v1  docker/27.1

global policy, default deny
  true       /etc/k.toml:3: identity.username == 'ci'  ← decides: allowed

auth.webhook.scan
  deny, from the cache, not scanned, its decision d7

DENIED: by auth.webhook.scan
`,
    )
  })

  test('prints why, where no policy was asked', async () => {
    const none = { action: null, repository: null, identity: null, policies: [], guards: [] }
    const { out } = await explain(200, { ...trace, ...none, reason: 'expired', message: 'too old' })
    assert.match(out, /^somebody unknown from 192\.0\.2\.7: $/m)
    assert.match(out, /^REFUSED: expired \(too old\)$/m)
    const { out: empty } = await explain(200, { ...trace, policies: [], guards: [] })
    assert.match(empty, /^DENIED: there is no global policy$/m)
  })

  test('prints JSON, or what the server says against it', async () => {
    assert.deepEqual(JSON.parse((await explain(200, trace, '--json')).out), trace)
    const evil = { ...trace, user_agent: 'a\u009b2J\u{e0001}\u202eb' }
    const shown = 'a\\u009b2J\\udb40\\udc01\\u202eb'
    assert.ok((await explain(200, evil)).out.includes(shown))
    const json = await explain(200, evil, '--json')
    assert.ok(json.out.includes(shown))
    assert.deepEqual(JSON.parse(json.out), evil)
    const { code, err } = await explain(404, { error: 'this process knows no such decision' })
    assert.deepEqual([code, err], [1, 'keelson: this process knows no such decision\n'])
  })

  test('needs an id', async () => {
    assert.equal((await run('policy', 'explain')).code, 2)
  })
})
