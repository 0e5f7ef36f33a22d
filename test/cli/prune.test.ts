// Goal: prune, tag history and tag restore do on a real server, and without one, what they say, and leave
// their line in the audit log. Method: the commands on a store of their own; requests before and after.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type Ran, runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'
import { StoreDump } from '../support/store-dump.ts'
import { until } from '../support/until.ts'

const mediaType = 'application/vnd.oci.image.index.v1+json'

class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'keelson-prune-'))
  #running: Server | undefined

  constructor() {
    after(async () => {
      await this.#running?.stop()
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  /** The configuration, with these rules from line 2 on. */
  configure(rules: readonly string[], more = ''): string {
    const text = `[global.retention_policy]
rules = [
${rules.map((rule) => `  ${JSON.stringify(rule)},\n`).join('')}]
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
${more}`
    writeFileSync(this.at('config.toml'), text)
    return text
  }

  async serve(config: string): Promise<Server> {
    this.#running = await startServer({ base: config, rootDir: this.at('root') })
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

  get auditLog(): string {
    return readFileSync(this.at('audit.jsonl'), 'utf8')
  }
}

async function push(server: Server, tag: string, content = tag): Promise<string> {
  const body = JSON.stringify({
    ...{ schemaVersion: 2, mediaType, manifests: [] },
    annotations: { content },
  })
  const answer = await fetch(`${server.url}/v2/team/app/manifests/${tag}`, {
    ...{ method: 'PUT', body, headers: { 'content-type': mediaType } },
  })
  assert.equal(answer.status, 201)
  return answer.headers.get('docker-content-digest') ?? ''
}

async function status(server: Server, reference: string): Promise<number> {
  const url = `${server.url}/v2/team/app/manifests/${reference}`
  return (await fetch(url, { method: 'HEAD' })).status
}

describe('in a server that runs', () => {
  test('rules are shown, applied and undone, and a reload changes them', async () => {
    const site = new Site()
    const server = await site.serve(
      site.configure(["image.tag.startsWith('v')", 'image.last_pulled_at > now() - days(1)']),
    )
    const gone = await push(server, 'old')
    for (const tag of ['v1', 'pulled']) await push(server, tag)
    assert.equal(await status(server, 'pulled'), 200)
    const expected = `deletes  team/app:old  no rule keeps it
keeps    team/app:pulled  config.toml:4: global retention policy: image.last_pulled_at > now() - days(1)
keeps    team/app:v1  config.toml:3: global retention policy: image.tag.startsWith('v')

prune would delete 1 tag and keep 2 tags
`
    const shown = async (...args: readonly string[]): Promise<string> =>
      (await site.ok('prune', '--dry-run', ...args)).replaceAll(/\S+base\.toml:/g, 'config.toml:')
    assert.equal(await shown(), expected)
    // Now that the pull is noted, nothing is written any more.
    const dump = new StoreDump(site.at('data'))
    const before = await dump.lines()
    assert.equal(await shown('--repository', 'team/app'), expected)
    const json = JSON.parse(await site.ok('prune', '--dry-run', '--json')) as {
      readonly freed: number
      readonly tags: readonly { readonly tag: string; readonly by: string }[]
    }
    assert.equal(json.freed, 1)
    assert.deepEqual(
      json.tags.map(({ tag, by }) => `${tag} ${by}`),
      ['old none', 'pulled rule', 'v1 rule'],
    )
    assert.deepEqual(await dump.lines(), before)
    await dump.close()

    const report = await site.ok('prune')
    assert.match(report, /deleted 1 tag and 1 manifest, kept 2 tags/)
    assert.deepEqual(
      [await status(server, 'old'), await status(server, gone), await status(server, 'v1')],
      [404, 404, 200],
    )
    const history = await site.ok('tag', 'history', 'team/app:old')
    assert.match(
      history,
      new RegExp(
        `^team/app:old is not there\\n\\S+  deleted   was ${gone}\\n\\S+  made      ${gone}\\n$`,
      ),
    )
    const restored = await site.ok('tag', 'restore', 'team/app:old')
    assert.equal(restored, `team/app:old points to ${gone}\n1 manifest was brought back\n`)
    assert.equal(await status(server, 'old'), 200)
    const log = site.auditLog
    for (const deed of ['delete-tag', 'delete-manifest', 'restore-manifest', 'restore-tag']) {
      assert.ok(log.includes(`"${deed}"`), deed)
    }

    site.configure(["image.tag == 'old'"])
    writeFileSync(server.configFile, readFileSync(site.at('config.toml'), 'utf8'))
    await until('the new rules are in force', () =>
      server.log.some((line) => line.includes('the configuration was read again')),
    )
    assert.match(await shown(), /deletes {2}team\/app:v1/)
    await site.ok('prune', '--json')
    const tags = await (await fetch(`${server.url}/v2/team/app/tags/list`)).json()
    assert.deepEqual(tags, { name: 'team/app', tags: ['old'] })
  })

  test('a tag goes back to where it was, at any moment that it had', async () => {
    const site = new Site()
    const server = await site.serve(site.configure([]))
    const first = await push(server, 'main', '1')
    const between = new Date()
    await until('the clock has moved', () => Date.now() > between.getTime() + 1)
    const second = await push(server, 'main', '2')
    const third = await push(server, 'main', '3')
    const pointsTo = async (): Promise<string | null> =>
      (await fetch(`${server.url}/v2/team/app/manifests/main`)).headers.get('docker-content-digest')
    assert.equal(
      await site.ok('tag', 'restore', 'team/app:main'),
      `team/app:main points to ${second}, and no more to ${third}\n`,
    )
    assert.equal(await pointsTo(), second)
    await site.ok('tag', 'restore', 'team/app:main', '--at', between.toISOString())
    assert.equal(await pointsTo(), first)
    await site.ok('tag', 'restore', 'team/app:main', '--to', third)
    assert.equal(await pointsTo(), third)
    const { moves } = JSON.parse(
      await site.ok('tag', 'history', 'team/app:main', '--json', '--limit', '2'),
    ) as { readonly moves: readonly { readonly from: string; readonly to: string }[] }
    assert.deepEqual(
      moves.map(({ from, to }) => [from, to]),
      [
        [first, third],
        [second, first],
      ],
    )
    for (const [args, problem] of [
      [['restore', 'team/app:main', '--to', third], /points to sha256:\w+ already/],
      [['restore', 'team/app:main', '--to', `sha256:${'0'.repeat(64)}`], /it never pointed to/],
      [['restore', 'team/app:main', '--to', 'x'], /expected a digest/],
      [['restore', 'team/app:main', '--at', '2001-01-01'], /nothing is known of it before 2001/],
      [['restore', 'team/app:main', '--at', 'then'], /expected a time/],
      [['restore', 'team/app:main', '--at', '1h', '--to', third], /not both/],
      [['restore', 'team/app:other'], /nothing is known of such a tag/],
      [['restore', 'team/App:other'], /expected the name of a repository/],
      [['history', 'team/app:other'], /nothing is known of team\/app:other/],
      [['history', 'team/app:main', '--limit', '0'], /limit: expected a number from 1 to 10000/],
    ] as const) {
      const { code, err } = await site.run('tag', ...args)
      assert.equal(code, 1, args.join(' '))
      assert.match(err, problem)
    }
    for (const command of ['history', 'restore']) {
      for (const argument of ['team/app', ':main', 'team/app:', 'team/App:main', 'team/app:-']) {
        assert.equal((await site.run('tag', command, argument)).code, 1, `${command} ${argument}`)
      }
      assert.equal((await site.run('tag', command)).code, 2)
    }
  })
})

test('without a server the store is opened for each of them', async () => {
  const site = new Site()
  const config = site.configure(["image.tag.startsWith('v')", 'int(image.tag) > 7'])
  const server = await site.serve(config)
  const gone = await push(server, 'old')
  for (const tag of ['v1', '7']) await push(server, tag)
  assert.equal((await server.stop()).code, 0)
  const shown = await site.ok('prune', '--dry-run')
  assert.match(shown, /keeps {4}team\/app:old {2}config\.toml:4: .* failed: int\(\) cannot convert/)
  assert.match(shown, /deletes {2}team\/app:7 {2}no rule keeps it/)
  assert.match(shown, /1 tag kept only because a rule failed/)
  site.configure(["image.tag.startsWith('v')"])
  assert.match(await site.ok('prune'), /deleted 2 tags and 2 manifests, kept 1 tag/)
  assert.match(await site.ok('tag', 'history', 'team/app:old'), /deleted/)
  assert.match(await site.ok('tag', 'restore', 'team/app:old'), /1 manifest was brought back/)
  assert.ok(site.auditLog.includes('"restore-tag"'))
  const again = await site.serve(config)
  assert.deepEqual([await status(again, 'old'), await status(again, '7')], [200, 404])
  assert.equal(await status(again, gone), 200)
})

test('rules that ask for pull times which nobody notes are not applied', async () => {
  const site = new Site()
  const off = '[retention]\npull_times = false\n'
  const server = await site.serve(site.configure(['top_pulled(3)'], off))
  await push(server, 'x')
  for (const args of [['prune'], ['prune', '--dry-run']]) {
    const { code, out, err } = await site.run(...args)
    assert.equal(code, 1)
    assert.match(out + err, /:3: the rule asks for pull times, and retention\.pull_times is false/)
  }
  assert.equal(await status(server, 'x'), 200)
})
