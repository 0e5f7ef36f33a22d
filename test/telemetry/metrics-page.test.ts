// Goal: docs/metrics.md names every metric of a server with its type, labels and meaning, and what it tells
// people to type works. Method: compare it with real servers; curl, promtool and the product's own command.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { blocksIn } from '../docs/page-blocks.ts'
import { adminCall, poll, useProduct } from '../http/product.ts'
import { assertStatus } from '../support/registry-client.ts'
import { attempt } from '../support/run.ts'
import { productCommand, projectRoot } from '../support/server.ts'
import { needs } from '../support/tools.ts'
import { documentedRows, type MetricRow, readText, type ToldMetric } from './page-metrics.ts'

const ofProcesses = 'Of several processes'
const page = readText('docs/metrics.md')
const blocks = blocksIn('docs/metrics.md', page)
const rows = documentedRows()
const alone = [...rows].filter(([title]) => title !== ofProcesses).flatMap(([, of]) => of)

/** How the page would tell it. */
function rowOf({ name, type, help, aggregator, values }: ToldMetric): MetricRow {
  const labels = new Set(values.flatMap((value) => Object.keys(value.labels)))
  labels.delete('le')
  const processes = aggregator === 'omit' ? 'left out' : aggregator
  return { name, type, labels: [...labels], processes, meaning: help }
}

function byName(list: readonly MetricRow[]): ReadonlyMap<string, MetricRow> {
  assert.equal(
    new Set(list.map(({ name }) => name)).size,
    list.length,
    'a metric stands there twice',
  )
  return new Map(list.map((row) => [row.name, row]))
}

describe('the metrics of a server', () => {
  const product = useProduct({
    toml: `
[global.access_policy]
default = "deny"
rules = ["identity.username == 'key:prometheus'", "request.action == 'get-api-version'"]
`,
  })

  test('are those of the page', async () => {
    assertStatus(await product.client.get('/v2/'), 200)
    const { body } = await product.admin('/metrics?figures')
    const told = (JSON.parse(body) as readonly ToldMetric[]).map(rowOf)
    const documented = byName(alone)
    assert.deepEqual([...byName(told).keys()].sort(), [...documented.keys()].sort())
    for (const row of told) {
      const { labels, ...others } = row
      const { labels: named = [], ...expected } = documented.get(row.name) ?? {}
      assert.deepEqual(others, expected)
      // Without a value there is no label.
      if (labels.length > 0) assert.deepEqual([...labels].sort(), [...named].sort(), row.name)
    }
  })

  test('pass promtool', needs('promtool'), async () => {
    assertStatus(await product.client.get('/v2/'), 200)
    const { body } = await product.admin('/metrics')
    const { code, stdout, stderr } = await attempt('promtool', ['check', 'metrics'], {
      input: body,
    })
    assert.deepEqual([code, stdout, stderr], [0, '', ''])
  })

  test('can be had by the commands of the page', needs('curl'), async () => {
    const socket = join(product.server.rootDir, '_keelson', 'admin.sock')
    const [ask, make] = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text)
    const told = ask?.replaceAll('/var/lib/keelson/_keelson/admin.sock', socket) ?? ''
    assert.notEqual(told, ask)
    const asked = await attempt('sh', ['-ec', told])
    assert.equal(asked.code, 0, asked.stderr)
    assert.match(asked.stdout, /^keelson_build_info\{/m)
    assert.match(asked.stdout, /"ready"/)
    const { configFile } = product.server
    const base = join(dirname(configFile), 'base.toml')
    const line = make
      ?.replace('keelson -c /etc/keelson/config.toml', `"$@" -c ${base} -c ${configFile}`)
      .replace('--name', '--json --name')
    const made = await attempt('sh', ['-ec', line ?? '', 'sh', ...productCommand()])
    assert.equal(made.code, 0, made.stderr)
    const { key } = JSON.parse(made.stdout) as { readonly key: string }
    const authorization = `Bearer ${key}`
    assertStatus(await product.client.get('/metrics', { authorization }), 200)
    assertStatus(await product.client.get('/v2/_catalog', { authorization }), 403)
  })
})

describe('the metrics of several processes', () => {
  const product = useProduct({
    toml: '[server]\nprocesses = 2\n[storage]\nsharing = "shared"\ndurability = "none"\n',
  })

  test('are the same and those of the last section', async () => {
    const inAll = await poll('the metrics of both processes', async () => {
      const { body } = await adminCall(
        join(product.server.rootDir, '_keelson', 'admin.sock'),
        '/metrics',
      )
      return /^keelson_process_up\{process="2"\} 1$/m.test(body) ? body : undefined
    })
    const names = [...inAll.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '']) => name)
    const expected = [...rows].flatMap(([, of]) => of).filter((row) => row.processes !== 'left out')
    assert.deepEqual(names.sort(), expected.map(({ name }) => name).sort())
    const { body } = await product.client.get('/metrics')
    assert.match(body.toString(), /^keelson_processes 2$/m)
  })
})

test('the configurations of Prometheus pass promtool', needs('promtool'), async () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-prometheus-'))
  after(() => rmSync(folder, { recursive: true }))
  const shown = blocks.filter(({ language }) => language === 'yaml')
  assert.equal(shown.length, 4)
  for (const name of ['keelson.password', 'keelson.token', 'keelson.pem', 'keelson.key']) {
    writeFileSync(join(folder, name), '')
  }
  mkdirSync(join(folder, 'configurations'))
  for (const [index, { text, line }] of shown.entries()) {
    const file = join(folder, 'configurations', `${index}.yml`)
    const here = text.replaceAll('/etc/prometheus', folder)
    writeFileSync(file, here.replace('/opt/keelson/docs', join(projectRoot, 'docs')))
    const { code, stdout, stderr } = await attempt('promtool', ['check', 'config', file])
    assert.equal(code, 0, `line ${line}\n${stdout}${stderr}`)
  }
})
