// Goal: on a running server every refusal has an id that leads the operator, and nobody else, to its
// reasons; the audit log has who did what; and a log that cannot be written stops what it should record.
// Method: requests and operator's commands against servers with an audit file.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'
import { adminCall, poll, temporaryFolder } from './product.ts'

const password = 'tuesday-fjord-lemon'
const digest = `sha256:${'a'.repeat(64)}`
const manifest = '/v2/team/app/manifests/v1'

type Headers = Readonly<Record<string, string>>
type AuditRecord = Readonly<Record<string, unknown>>

interface Answer {
  readonly status: number
  readonly retryAfter: string | null
  readonly text: string
  readonly decisionId: string
}

function basic(username: string, secret: string): Headers {
  return { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` }
}

const ci = basic('ci', password)
const bob = basic('bob', password)

/** A server with an audit log, and the operator beside it. */
class Audited {
  readonly folder: string
  readonly file: string
  #server: Server | undefined

  constructor(folder: string) {
    this.folder = folder
    this.file = join(folder, 'audit.jsonl')
  }

  get server(): Server {
    assert.ok(this.#server)
    return this.#server
  }

  get socket(): string {
    return join(this.folder, 'admin.sock')
  }

  async start(audit: string): Promise<void> {
    const toml = `
[server]
port = 0
[admin]
socket = ${JSON.stringify(this.socket)}
[blob_store.fs]
root_dir = ${JSON.stringify(join(this.folder, 'data'))}
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hash)}
groups = ["builders"]
[auth.identity.other]
username = "bob"
password = ${JSON.stringify(hash)}
[auth.token_service]
[global.access_policy]
default = "deny"
rules = ["identity.oidc.claims.role == 'x'", "'builders' in identity.groups", "request.action == 'get-blob'"]
[repository."team".access_policy]
default = "allow"
rules = ["request.action == 'delete-manifest'"]
[audit]
file = ${JSON.stringify(this.file)}
${audit}`
    await writeFile(join(this.folder, 'config.toml'), toml)
    this.#server = await startServer({ base: toml })
  }

  async call(method: string, path: string, headers: Headers = {}): Promise<Answer> {
    const response = await fetch(`${this.server.url}${path}`, { method, headers })
    const text = await response.text()
    const [, decisionId = ''] = /"decisionId":"([0-9a-f-]{36})"/.exec(text) ?? []
    const retryAfter = response.headers.get('retry-after')
    return { status: response.status, retryAfter, text, decisionId }
  }

  run(...words: readonly string[]): Promise<Ran> {
    return runCommand(['-c', join(this.folder, 'config.toml'), ...words], this.folder)
  }

  async admin(path: string): Promise<AuditRecord> {
    return JSON.parse((await adminCall(this.socket, path)).body) as AuditRecord
  }

  records(file: string = this.file): readonly AuditRecord[] {
    return readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as AuditRecord)
  }

  /** The record that fits, as soon as it is there. */
  recorded(what: string, fits: (record: AuditRecord) => boolean): Promise<AuditRecord> {
    return poll(what, async () => this.records().find(fits))
  }
}

const hash = hashPassword(password)

describe('a refusal has an id that leads to its reasons', () => {
  // Before the folder goes, which is what the next line asks for.
  after(async () => assert.equal((await audited.server.stop()).code, 0))
  const temporary = temporaryFolder()
  const audited = new Audited(temporary.path)
  before(() => audited.start(''))

  async function keyOf(scope: string): Promise<string> {
    const name = `k${scope.length}`
    const made = await audited.run('token', 'create', '--name', name, '--scope', scope)
    return made.out.trim()
  }

  const cases: readonly (readonly [
    name: string,
    ask: () => Promise<Answer>,
    status: number,
    reason: string | null,
    username: string | null,
  ])[] = [
    [
      'no credentials where a login is asked for',
      () => audited.call('GET', '/v2/'),
      401,
      'no-credentials',
      null,
    ],
    [
      'a wrong password where a login is asked for',
      () => audited.call('GET', '/v2/', basic('ci', 'wrong')),
      ...([401, 'wrong-credentials', null] as const),
    ],
    ['nobody, by the policy', () => audited.call('GET', manifest), 401, null, null],
    ['a user, by the policy', () => audited.call('PUT', manifest, bob), 403, null, 'bob'],
    [
      'a user, by the policy of the repository',
      () => audited.call('DELETE', manifest, ci),
      ...([403, null, 'ci'] as const),
    ],
    [
      'a token that is none',
      () => audited.call('GET', manifest, { authorization: 'Bearer abc' }),
      ...([401, 'malformed', null] as const),
    ],
    [
      'an API key without the scope',
      async () => audited.call('DELETE', manifest, basic('x', await keyOf('repository:a:pull'))),
      ...([403, 'denied', 'key:k17'] as const),
    ],
  ]

  for (const [name, ask, status, reason, username] of cases) {
    test(name, async () => {
      const { decisionId, ...answer } = await ask()
      assert.equal(answer.status, status, answer.text)
      assert.match(decisionId, /^[0-9a-f-]{36}$/, answer.text)
      // Nothing of why.
      assert.doesNotMatch(answer.text, /builders|claims|policy|config\.toml/)
      const trace = await audited.admin(`/decisions?id=${decisionId}`)
      assert.deepEqual([trace['reason'], trace['decision_id']], [reason, decisionId])
      const identity = trace['identity'] as { username: string | null } | null
      assert.equal(identity?.username ?? null, username)
      const record = await audited.recorded(name, (each) => each['decision_id'] === decisionId)
      assert.deepEqual(record['identity'], trace['identity'])
      assert.deepEqual([record['kind'], record['reason']], ['decision', reason])
      assert.deepEqual([record['client_ip'], record['allowed']], ['127.0.0.1', false])
    })
  }

  test('policy explain prints every step', async () => {
    const { decisionId } = await audited.call('DELETE', manifest, ci)
    const { code, out } = await audited.run('policy', 'explain', decisionId)
    assert.equal(code, 0)
    assert.match(out, new RegExp(`^decision ${decisionId}, 20`))
    assert.match(
      out,
      /^user=ci,id=build,groups=builders \(basic\) from 127\.0\.0\.1: delete-manifest team\/app v1$/m,
    )
    assert.match(out, /^global policy, default deny$/m)
    assert.match(out, /^ {2}error {6}.*:\d+: identity\.oidc\.claims\.role == 'x'$/m)
    assert.match(out, /^ {2}true {7}.*'builders' in identity\.groups {2}← decides: allowed$/m)
    assert.match(out, /^ {2}unreached {2}.*request\.action == 'get-blob'$/m)
    assert.match(out, /^policy of repository "team", default allow$/m)
    assert.match(out, /'delete-manifest' {2}← decides: denied$/m)
    assert.match(out, /^DENIED: by the policy of repository "team"$/m)
    const { out: json } = await audited.run('policy', 'explain', decisionId, '--json')
    assert.equal((JSON.parse(json) as AuditRecord)['decision_id'], decisionId)
    await audited.recorded('who looked', ({ call, subject }) => {
      return call === 'policy explain' && subject === decisionId
    })
  })

  test('an id that is not known is told so', async () => {
    const { code, err } = await audited.run(
      'policy',
      'explain',
      '00000000-0000-4000-8000-000000000000',
    )
    assert.equal(code, 1)
    assert.match(err, /knows no such decision/)
    assert.match((await audited.run('policy', 'explain', 'x')).err, /expected the id of a decision/)
  })
})

describe('the audit log', () => {
  const temporary = temporaryFolder()
  const audited = new Audited(temporary.path)
  const options = 'hash_chain = true\nallow = ["get-manifest", "start-upload"]\n'

  test('has who did what, over rotations, ends and kills, and nothing secret', async () => {
    await audited.start(options)
    await audited.call('GET', '/v2/', basic('ci', 'wrong-password-here'))
    assert.equal((await audited.call('GET', manifest, ci)).status, 404)
    assert.equal((await audited.call('GET', `/v2/a/blobs/${digest}`)).status, 404)
    await audited.call('GET', '/token?service=x&scope=repository:a:pull', ci)
    const made = await audited.run('token', 'create', '--name', 'a', '--scope', 'repository:a:pull')
    assert.equal(made.code, 0, made.err)
    await audited.recorded('the key', ({ call }) => call === 'token create')
    renameSync(audited.file, `${audited.file}.1`)
    process.kill(audited.server.pid, 'SIGHUP')
    await poll('a new file', async () => {
      await audited.call('POST', '/v2/team/app/blobs/uploads/', ci)
      if (!existsSync(audited.file)) return undefined
      return audited.records().find(({ action }) => action === 'start-upload')
    })
    const killed = audited.server
    killed.kill()
    await killed.exited
    await audited.start(options)
    const { head } = (await audited.admin('/status'))['audit'] as { head: { hash: string } }
    assert.equal((await audited.server.stop()).code, 0)

    const first = audited.records(`${audited.file}.1`)
    const kinds = first.map((record) => [
      record['kind'],
      record['event'] ?? record['result'] ?? record['action'],
    ])
    // The signal comes when it comes: until then uploads are told to the file that was moved.
    const before = kinds.filter(([, what]) => what !== 'start-upload')
    assert.deepEqual(before, [
      ['config', 'loaded'],
      ['server', 'start'],
      ['login', 'failure'],
      ['decision', 'get-api-version'],
      ['login', 'success'],
      ['decision', 'get-manifest'],
      ['token', 'issued'],
      ['admin', 'done'],
    ])
    assert.equal(first[5]?.['allowed'], true)
    assert.deepEqual(first[0]?.['files'], [first[0]?.['files']].flat())
    const last = audited.records().at(-1)
    assert.deepEqual([last?.['kind'], last?.['event']], ['server', 'stop'])
    const text = readFileSync(`${audited.file}.1`, 'utf8') + readFileSync(audited.file, 'utf8')
    for (const secret of [
      password,
      'wrong-password-here',
      made.out.trim(),
      ci['authorization'] ?? '',
    ]) {
      assert.ok(secret !== '' && !text.includes(secret))
    }
    const verified = await audited.run(
      'audit',
      'verify',
      `${audited.file}.1`,
      audited.file,
      '--head',
      head.hash,
    )
    assert.deepEqual([verified.code, verified.err], [0, ''])
    assert.match(verified.out, /^\d+ records are sound, up to \d+\nhead [0-9a-f]{64}\nOK$/m)
    // It, too, is a file of the configuration.
    assert.match((await audited.run('audit', 'verify')).out, /what is before it is in older files/)
  })
})

describe('an audit log that is stuck', () => {
  const temporary = temporaryFolder()
  const audited = new Audited(temporary.path)

  test('refuses what it should record, serves the rest, and goes on when it moves', async () => {
    execFileSync('mkfifo', [audited.file])
    const reader = openSync(audited.file, constants.O_RDONLY | constants.O_NONBLOCK)
    await audited.start('allow = ["get-manifest"]\nqueue_max = 50\n')
    let text = ''
    const empty = (): void => {
      const bytes = Buffer.alloc(1 << 20)
      try {
        text += bytes.toString('utf8', 0, readSync(reader, bytes))
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
      }
    }
    let served = 0
    const stuck = await poll('a full queue', async () => {
      const answer = await audited.call('GET', manifest, ci)
      if (answer.status === 404) served += 1
      return answer.status === 404 ? undefined : answer
    })
    assert.deepEqual([stuck.status, stuck.retryAfter], [503, '2'])
    assert.match(stuck.text, /"code":"UNAVAILABLE"/)
    // A denial is recorded too.
    assert.equal((await audited.call('PUT', manifest, bob)).status, 503)
    assert.equal((await audited.call('GET', '/v2/')).status, 503)
    assert.equal((await audited.call('GET', `/v2/team/app/blobs/${digest}`)).status, 404)
    assert.equal((await adminCall(audited.socket, `/decisions?id=${digest}`)).status, 503)
    const { code, err } = await audited.run(
      'token',
      'create',
      '--name',
      'a',
      '--scope',
      'repository:a:pull',
    )
    assert.equal(code, 1)
    assert.match(err, /no room/)
    const metrics = (await adminCall(audited.socket, '/metrics')).body
    assert.match(metrics, /^keelson_audit_queued 50$/m)
    assert.match(metrics, /^keelson_audit_refused_total [1-9]/m)
    assert.match(metrics, /^keelson_audit_write_errors_total [1-9]/m)
    await poll('an answer', async () => {
      empty()
      const { status } = await audited.call('GET', manifest, ci)
      if (status === 404) served += 1
      return status === 404 ? status : undefined
    })
    const exited = audited.server.stop()
    await poll('its end', async () => {
      empty()
      return text.includes('"event":"stop"') ? true : undefined
    })
    assert.equal((await exited).code, 0)
    closeSync(reader)
    const records = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditRecord)
    const pulls = records.filter(
      ({ action, allowed }) => action === 'get-manifest' && allowed === true,
    )
    assert.equal(pulls.length, served)
  })
})

test('an audit file that cannot be opened keeps the server from starting', async () => {
  const folder = temporaryFolder().path
  const audited = new Audited(join(folder, 'absent'))
  await assert.rejects(
    startServer({
      base: `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${JSON.stringify(folder)}\n[audit]\nfile = ${JSON.stringify(audited.file)}\n`,
    }),
    /audit\.file: .*ENOENT/,
  )
})
