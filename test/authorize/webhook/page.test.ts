// Goal: docs/webhooks.md is true. Method: its configurations are loaded, its table is compared with what
// is sent, and its webhook is run and asked.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Identity } from '../../../src/authenticate/identity.ts'
import { questionText, sentHeaders } from '../../../src/authorize/webhook/sent-question.ts'
import { parseConfig } from '../../../src/config/load.ts'
import type { Action } from '../../../src/route/action.ts'
import { blocksOf } from '../../support/page.ts'
import { projectRoot } from '../../support/server.ts'
import { around } from '../guard-contract.ts'
import { act, bearer, certified, user } from '../scene.ts'
import { openWebhook } from './scene.ts'

const page = readFileSync(join(projectRoot, 'docs', 'webhooks.md'), 'utf8')

const everything = '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n'

function configOf(toml: string): ReturnType<typeof parseConfig> {
  return parseConfig([{ file: '/etc/keelson/config.toml', text: `${everything}${toml}` }])
}

test('each configuration of the page is one', () => {
  const configs = blocksOf(page, 'toml').map(configOf)
  assert.equal(configs.length, 3)
  for (const config of configs) assert.ok(config.global.authorizationWebhook)
  assert.equal(configs[1]?.repositories[0]?.authorizationWebhook, 'release')
})

test('the table has exactly the headers that are sent', () => {
  const documented = [...page.matchAll(/^\| `(X-[A-Za-z-]+)` \|/gm)].map(([, name = '']) => name)
  const identity: Identity = {
    ...bearer({ sub: 'a' }),
    groups: ['dev'],
    certificate: certified({ commonNames: ['a'], organizations: ['b'] }).certificate,
  }
  const actions: readonly Action[] = [act('put-manifest'), act('mount-blob'), act('get-blob')]
  const sent = actions.flatMap((action) => {
    const text = questionText({ identity, action, asked: around() }, '192.0.2.1', [])
    return Object.keys(sentHeaders(text))
  })
  const names = documented.map((name) => name.toLowerCase()).sort()
  assert.deepEqual(names, [...new Set(sent)].sort())
})

test('the webhook of the page decides as the page says', async (t) => {
  const [script = ''] = blocksOf(page, 'js')
  const port = await freePort()
  const child = spawn(process.execPath, ['--input-type=module'], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  t.after(async () => {
    const ended = once(child, 'exit')
    child.kill()
    await ended
  })
  child.stdin.end(script)
  const toml = blocksOf(page, 'toml').at(-1) ?? ''
  const config = configOf(toml.replace(':8600/', `:${port}/`)).auth.webhooks[0]
  assert.ok(config)
  const { guard } = await openWebhook(t, { ...config, breakerFailures: 1_000_000 })
  const result = async (identity: Identity, action: Action): Promise<string> =>
    (await guard.ask({ identity, action, asked: around() })).result
  const deadline = performance.now() + 20_000
  while ((await result(user('a'), act('get-manifest', 'x'))) !== 'allow') {
    assert.ok(performance.now() < deadline, 'it does not come up')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const releaser = user('eve', 'a,b', 'release')
  assert.equal(await result(releaser, act('put-manifest', 'prod/app')), 'allow')
  assert.equal(await result(releaser, act('put-manifest', 'production')), 'deny')
  assert.equal(await result(user('eve', 'a,release'), act('put-manifest', 'prod/app')), 'deny')
  assert.equal(await result(user('eve'), act('delete-manifest', 'prod')), 'deny')
  assert.equal(await result(user('eve'), act('list-tags', 'other')), 'allow')
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
