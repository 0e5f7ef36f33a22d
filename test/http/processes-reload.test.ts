// Goal: what an operator changes holds in every process, or in none.
// Method: connections that stay open in each process while files are written, signals sent and keys revoked.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runCommand } from '../support/command-line.ts'
import { startServer } from '../support/server.ts'
import { needsTransport } from '../support/transport.ts'
import { type Pinned, Processes } from './processes-scene.ts'
import { poll, temporaryFolder } from './product.ts'

for (const transport of ['uws', 'node'] as const) {
  describe(`a change in several processes, ${transport}`, needsTransport(transport), () => {
    const folder = temporaryFolder()
    let file = ''
    let processes: Processes
    let pinned: readonly Pinned[]

    function configured(rule: string, more = ''): string {
      return [
        `[server]\nport = 0\nprocesses = 2\ntransport = "${transport}"\nwatch_config = false`,
        `[blob_store.fs]\nroot_dir = ${JSON.stringify(join(folder.path, 'data'))}`,
        `[global.access_policy]\ndefault = "deny"\nrules = [${JSON.stringify(rule)}]`,
        more,
      ].join('\n')
    }

    async function reload(text: string): Promise<void> {
      await writeFile(file, text)
      process.kill(processes.server.pid, 'SIGHUP')
    }

    async function untilAll(status: number): Promise<void> {
      for (const each of pinned) {
        await poll(`${status} from process ${each.pid}`, async () => {
          const reply = await each.call('GET', '/v2/open/a/tags/list')
          return reply.status === status || undefined
        })
      }
    }

    before(async () => {
      const rootDir = join(folder.path, 'data')
      const base = configured("request.namespace == 'open/a'")
      processes = new Processes(await startServer({ base, rootDir }))
      file = processes.server.configFile
      pinned = await processes.connectToEach()
      await untilAll(404)
    })
    after(() => processes.end())

    test('a new policy holds in all of them, on connections that stay open', async () => {
      await reload(configured("request.namespace == 'open/b'"))
      await untilAll(401)
      await reload(configured("request.namespace == 'open/a'"))
      await untilAll(404)
      assert.ok(pinned.every(({ isOver }) => !isOver))
    })

    test('a refused configuration changes none, nor the process that starts after it', async () => {
      await reload(configured("request.namespace == 'open/b'", '[nonsense]\n'))
      await poll(
        'the refusal',
        async () => processes.server.log.some((line) => line.includes('nonsense')) || undefined,
      )
      await untilAll(404)
      assert.equal(await processes.metric('config_last_reload_success'), 0)
      const [victim] = await processes.status()
      process.kill(victim?.pid ?? 0, 'SIGKILL')
      await processes.until(
        'a successor',
        ([first]) => first?.state === 'serving' && first.restarts === 1,
      )
      pinned = await processes.connectToEach()
      await untilAll(404)
      await reload(configured("request.namespace == 'open/a'"))
      await poll(
        'a good one',
        async () => (await processes.metric('config_last_reload_success')) === 1 || undefined,
      )
    })

    test('a process that starts has what was accepted last', async () => {
      await reload(configured("request.namespace == 'open/b'"))
      await untilAll(401)
      const victim = (await processes.status())[1]
      process.kill(victim?.pid ?? 0, 'SIGKILL')
      await processes.until(
        'a successor',
        (all) => all[1]?.state === 'serving' && all[1].restarts === 1,
      )
      pinned = await processes.connectToEach()
      await untilAll(401)
    })

    test('a key is good in all of them when it was made, and in none when it was revoked', async () => {
      await reload(configured("identity.username != ''"))
      await untilAll(401)
      const create = [
        'token',
        'create',
        '--name',
        'ci',
        '--scope',
        'repository:open/*:pull',
        '--json',
      ]
      const created = await runCommand(['-c', file, ...create], '/')
      assert.equal(created.code, 0, created.err)
      const { key, id } = JSON.parse(created.out) as { key: string; id: string }
      const headers = { Authorization: `Bearer ${key}` }
      const statuses = async (): Promise<readonly number[]> => {
        const replies = pinned.map((each) => each.call('GET', '/v2/open/a/tags/list', { headers }))
        return [...new Set((await Promise.all(replies)).map(({ status }) => status))]
      }
      assert.deepEqual(await statuses(), [404])
      const revoked = await runCommand(['-c', file, 'token', 'revoke', id], '/')
      assert.equal(revoked.code, 0, revoked.err)
      assert.deepEqual(await statuses(), [401])
    })

    test('a denial is explained whichever process made it', async () => {
      for (const each of pinned) {
        const { body } = await each.call('GET', '/v2/open/b/tags/list')
        const [, id = ''] = /"decisionId":"([^"]+)"/.exec(body.toString()) ?? []
        const explained = await runCommand(['-c', file, 'policy', 'explain', id], '/')
        assert.equal(explained.code, 0, `${body} ${explained.err}`)
      }
    })
  })
}
