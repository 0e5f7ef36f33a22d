// Goal: what Keelson is measured behind and beside is what the reports say. Method: start the
// subjects as the bench does, load a small image and look at single answers.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { superviseChildren } from '../../bench/children.ts'
import { type Content, MANIFEST_TYPE, smallImage } from '../../bench/content.ts'
import type { Guard, Server, StartContext } from '../../bench/contract.ts'
import { guardRules, guardTables } from '../../bench/guard.ts'
import { keelson } from '../../bench/launch.ts'
import { get } from '../../bench/load/get.ts'
import { bareUws, type Recorded, record, targetsOf } from '../../bench/reference/bare-uws.ts'
import { runCommand } from '../support/command-line.ts'
import { needsThat } from '../support/tools.ts'
import { until } from '../support/until.ts'

superviseChildren()
const folder = mkdtempSync(join(tmpdir(), 'keelson-bench-subjects-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const GUARDS = ['anonymous', 'basic', 'bearer'] as const
const content: Content = smallImage()
const manifest = `/v2/${content.repository}/manifests/latest`

function contextOf(name: string, guard: Guard = 'open'): StartContext {
  const directory = join(folder, name)
  mkdirSync(directory)
  return { directory, serverCores: undefined, tls: undefined, guard }
}

async function statusOf(server: Omit<Server, 'authorization'>): Promise<number | undefined> {
  const answer = await get(server, manifest, { Accept: MANIFEST_TYPE })
  answer.resume()
  return answer.statusCode
}

for (const guard of GUARDS) {
  test(`${guard}: ten rules stand before a pull, and the last one allows it`, async () => {
    assert.equal(guardRules(guard).length, 10)
    const file = join(folder, `${guard}.toml`)
    writeFileSync(file, `[blob_store.memory]\n[metadata_store.memory]\n${guardTables(guard)}`)
    const as = guard === 'anonymous' ? [] : ['--as', 'user=ci']
    const target = ['--repository', content.repository, '--reference', 'latest']
    const asked = ['policy', 'test', ...as, '--action', 'get-manifest', ...target]
    const { code, out } = await runCommand(['-c', file, ...asked], folder)
    assert.equal(code, 0, out)
    assert.equal(out.match(/^ +(false|failed|error)\b.* line \d+:/gm)?.length, 9, out)
    assert.match(out, /true +line \d+: .*bench\/.*decides: allowed\n/)
  })
}

test('a guarded server asks who comes, lets its own clients in, and logs each of them', async () => {
  for (const guard of ['basic', 'bearer'] as const) {
    const server = await keelson.start(contextOf(`guarded-${guard}`, guard))
    assert.equal(server.kind, 'server')
    if (server.kind !== 'server') return
    try {
      await server.load(content)
      const { authorization, ...nobody } = server
      assert.ok(authorization?.toLowerCase().startsWith(guard), authorization)
      assert.equal(await statusOf(nobody), 401)
      assert.equal(await statusOf(server), 200)
      const logged = (): boolean => {
        const log = readFileSync(join(folder, `guarded-${guard}`, 'log'), 'utf8')
        return /"get-manifest".*"status":200.*"username":"ci"/.test(log)
      }
      await until('a line of the access log', logged)
    } finally {
      await server.stop()
    }
  }
})

function linesOf({ headers }: Recorded): readonly string[] {
  return headers.filter(([name]) => name !== 'Date').map((line) => line.join(': '))
}

const needsUws = needsThat(bareUws.version() === undefined ? ['a binary of uWebSockets.js'] : [])

test('the bare handler sends the lines and the bytes of Keelson', needsUws, async () => {
  const ours = await keelson.start(contextOf('ours'))
  const bare = await bareUws.start(contextOf('bare'))
  assert.ok(ours.kind === 'server' && bare.kind === 'server')
  try {
    await ours.load(content)
    await bare.load(content)
    for (const path of targetsOf(content)) {
      for (const method of ['GET', 'HEAD'] as const) {
        const wanted = await record(ours, method, path)
        if (wanted.status !== 200) continue
        const got = await record(bare, method, path)
        assert.deepEqual(linesOf(got), linesOf(wanted), `${method} ${path}`)
        assert.deepEqual(got.body, wanted.body)
      }
    }
  } finally {
    await ours.stop()
    await bare.stop()
  }
})
