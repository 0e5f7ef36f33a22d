// Goal: docs/opa.md is true. Method: its configurations load, its policies are loaded into a real OPA as its
// command line starts one, and its recipes are asked; its table is compared with a real input.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import { opaInput } from '../../../src/authorize/opa/input.ts'
import { parseConfig } from '../../../src/config/load.ts'
import type { OpaConfig } from '../../../src/config/schema.ts'
import { needsGo } from '../../support/go-tools.ts'
import { blocksOf } from '../../support/page.ts'
import { bearer, certified, clientIp, from, requested, user } from '../scene.ts'
import { startRealOpa } from './real-opa.ts'
import { openGuard } from './scene.ts'

const page = readFileSync('docs/opa.md', 'utf8')
const stores = '[blob_store.memory]\n[metadata_store.memory]\n'

function policyOf(start: string): string {
  const text = blocksOf(page, 'rego').find((block) => block.startsWith(`package ${start}\n`))
  assert.ok(text, start)
  return text
}

const today = ['keelson', 'keelson.release', 'keelson.machines', 'keelson.pipelines']
const alice = user('alice', 'dev')
const day = 86_400_000
const machine = (notAfterMs: number): Identity =>
  certified({ organizations: ['Platform'], notAfterMs })
const push = ['PUT', '/v2/dev/app/manifests/latest'] as const
const pull = ['GET', '/v2/dev/app/manifests/latest'] as const

test('every block of TOML loads, and chooses an OPA that it has', () => {
  const opas: OpaConfig[] = []
  for (const toml of blocksOf(page, 'toml')) {
    const config = parseConfig([{ file: '/etc/keelson/config.toml', text: `${toml}${stores}` }])
    const chosen = [config.global, ...config.repositories].map((each) => each.authorizationOpa)
    assert.deepEqual(
      chosen.filter((name) => name !== undefined),
      config.auth.opas.map(({ name }) => name),
    )
    opas.push(...config.auth.opas)
  }
  assert.deepEqual(
    opas.map(({ path }) => path),
    ['keelson/allow', 'keelson/release/decision'],
  )
})

test('every policy does what the page says', needsGo(), async (t) => {
  assert.equal(blocksOf(page, 'rego').length, today.length + 1)
  const [, command] = blocksOf(page, 'shell')
    .join('')
    .split('opa run --server --addr 127.0.0.1:8181 ')
  assert.equal(command, '--set decision_logs.console=true keelson.rego\n')
  const opa = await startRealOpa(t, { policies: today.map(policyOf) })
  if (opa === undefined) return
  for (const [path, identity, [method, target], expected] of [
    ['keelson/allow', alice, pull, 'allow'],
    ['keelson/allow', alice, ['GET', '/v2/'], 'allow'],
    ['keelson/allow', alice, push, 'allow'],
    ['keelson/allow', alice, ['PUT', '/v2/developers/app/manifests/v1'], 'deny'],
    ['keelson/allow', user('bob', 'ops'), push, 'deny'],
    ['keelson/allow', user('bob', 'ops'), pull, 'allow'],
    ['keelson/allow', anonymous, pull, 'deny'],
    ['keelson/release/decision', alice, pull, 'allow'],
    ['keelson/release/decision', alice, push, 'deny'],
    ['keelson/release/decision', user('bot', 'release'), push, 'allow'],
    ['keelson/release/decision', alice, ['PUT', '/v2/dev/app/manifests/v2'], 'allow'],
    ['keelson/machines/allow', machine(Date.now() + day / 2), pull, 'allow'],
    ['keelson/machines/allow', machine(Date.now() + day / 2), push, 'deny'],
    ['keelson/machines/allow', machine(Date.now() + 2 * day), pull, 'deny'],
    ['keelson/machines/allow', certified({ organizations: ['Other'] }), pull, 'deny'],
    ['keelson/machines/allow', anonymous, pull, 'deny'],
    ['keelson/pipelines/allow', bearer({ project_path: 'dev/app' }), push, 'allow'],
    ['keelson/pipelines/allow', bearer({ project_path: 'dev/ap' }), push, 'deny'],
    ['keelson/pipelines/allow', bearer({}), ['GET', '/v2/_catalog'], 'deny'],
    ['keelson/pipelines/allow', alice, push, 'deny'],
  ] as const) {
    const { guard } = await openGuard(t, { url: opa.url, path })
    const asked = { ...from(clientIp), method, path: target }
    const { result, reason } = await guard.ask({
      identity,
      action: requested(method, target),
      asked,
    })
    assert.equal(result, expected, `${path} ${identity.username} ${method} ${target} ${reason}`)
    if (path.endsWith('decision') && expected === 'deny') {
      assert.equal(reason, 'latest is moved by releases alone')
    }
  }
})

test('the old syntax is the seed’s, word for word', () => {
  const seed = readFileSync('test/authorize/opa/seed.rego', 'utf8')
  assert.equal(policyOf('registry.authz'), seed)
})

test('the table has the names that are sent, and no others', () => {
  const [, section = ''] = page.split('## What it is asked\n')
  const [table = ''] = section.split('**What is not there')
  const told = [...table.matchAll(/^\| `([a-z_.]+)` \|/gm)].map(([, name = '']) => name)
  const sent = new Set<string>()
  const identity = { ...bearer({ role: 'a' }), certificate: certified({}).certificate }
  for (const [method, target] of [
    ['PUT', '/v2/dev/app/manifests/v1'],
    ['POST', `/v2/dev/app/blobs/uploads/?mount=sha256:${'a'.repeat(64)}&from=base`],
  ] as const) {
    const asked = { ...from(clientIp), method, path: target }
    const input = opaInput({ identity, action: requested(method, target), asked })
    assert.ok(input.ok)
    const { input: parts } = JSON.parse(input.json) as { input: Record<string, object> }
    for (const [name, value] of Object.entries(parts)) {
      if (name === 'user') for (const inner of Object.keys(value)) sent.add(`user.${inner}`)
      else sent.add(name)
    }
    const certificate = Object.keys(parts['certificate'] ?? {})
    for (const name of certificate) assert.ok(table.includes(`\`${name}\``), name)
  }
  assert.deepEqual([...told].sort(), [...sent].sort())
})
