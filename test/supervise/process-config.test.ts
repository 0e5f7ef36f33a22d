// Goal: what processes cannot share each has for itself, and what they share is the same for all.
// Method: configurations from text.
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { auditFileOf, configOfProcess, processCount } from '../../src/supervise/process-config.ts'

function configOf(text: string): Config {
  const base = '[blob_store.fs]\nroot_dir = "/data"\n'
  return parseConfig([{ file: '/etc/config.toml', text: base + text }])
}

test('each process but the first has an audit file of its own', () => {
  assert.equal(auditFileOf('/var/log/audit.log', 1), '/var/log/audit.log')
  assert.equal(auditFileOf('/var/log/audit.log', 2), '/var/log/audit.2.log')
  assert.equal(auditFileOf('/var/log.d/audit', 3), '/var/log.d/audit.3')
  const config = configOf('[audit]\nfile = "/var/log/audit.log"\n')
  const place = { count: 2, ports: [8000] }
  assert.equal(configOfProcess(config, { ...place, index: 1 }).audit.file, '/var/log/audit.log')
  assert.equal(configOfProcess(config, { ...place, index: 2 }).audit.file, '/var/log/audit.2.log')
})

test('without an audit file there is none', () => {
  const place = { index: 2, count: 2, ports: [8000] }
  assert.equal(configOfProcess(configOf(''), place).audit.file, undefined)
})

test('port 0 becomes the port that was found, other ports stay', () => {
  const config = configOf(
    [
      '[[server.listener]]\nbind_address = "127.0.0.1"\nport = 0',
      '[[server.listener]]\nsocket = "/run/a.sock"',
      '[[server.listener]]\nbind_address = "127.0.0.1"\nport = 8001\n',
    ].join('\n'),
  )
  const { listeners } = configOfProcess(config, { index: 1, count: 2, ports: [40_001, 0, 8001] })
  assert.deepEqual(
    listeners.map((each) => (each.kind === 'tcp' ? each.port : each.path)),
    [40_001, '/run/a.sock', 8001],
  )
})

test('processes share the cores for their threads, unless their number is given', () => {
  const many = { index: 1, count: 64, ports: [8000] }
  assert.equal(configOfProcess(configOf(''), many).ingest.workers, 1)
  const two = configOfProcess(configOf('[ingest]\nworkers = 5\n'), many)
  assert.equal(two.ingest.workers, 5)
})

test('"auto" is one process for each core', () => {
  assert.equal(processCount('auto'), availableParallelism())
  assert.equal(processCount(3), 3)
})
