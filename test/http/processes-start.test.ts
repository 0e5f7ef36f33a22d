// Goal: what an operator wants while several processes start is done, not forgotten.
// Method: signals before the server says that it serves; a second process that never can.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Daemon, startDaemon } from '../support/daemon.ts'
import { RegistryClient } from '../support/registry-client.ts'
import { productCommand } from '../support/server.ts'
import { until } from '../support/until.ts'
import { startProcesses } from './processes-scene.ts'
import { poll, temporaryFolder } from './product.ts'

const folder = temporaryFolder()

function configured(name: string, more: string): string {
  const root = JSON.stringify(join(folder.path, name))
  return [
    '[server]\nport = 0\nprocesses = 2\nwatch_config = false',
    `[blob_store.fs]\nroot_dir = ${root}`,
    '[health]\ncheck_host = false',
    more,
  ].join('\n')
}

/** Resolves at the first line with `text`. */
function start(file: string, text: string): Promise<Daemon<true>> {
  const [command = '', ...args] = productCommand()
  return startDaemon({
    ...{ command, args: [...args, '-c', file, 'server'] },
    onLine: (line) => line.includes(text) || undefined,
  })
}

test('a configuration that changes while they start is in force when they serve', async (t) => {
  const file = join(folder.path, 'changed.toml')
  const policy = (name: string): string => `[global.access_policy]\ndefault = "${name}"`
  await writeFile(file, configured('changed', policy('allow')))
  const server = await start(file, '"configuration loaded"')
  t.after(() => server.stop())
  await writeFile(file, configured('changed', policy('deny')))
  process.kill(server.pid, 'SIGHUP')
  const served = (): string | undefined => server.log.find((line) => line.includes('"serving"'))
  await until('they serve', () => served() !== undefined)
  const { port } = JSON.parse(served() ?? '') as { readonly port: number }
  const client = new RegistryClient(`http://127.0.0.1:${port}`)
  t.after(() => client.close())
  await poll('the new policy', async () => {
    const { status } = await client.get('/v2/any/tags/list')
    return status === 401 || undefined
  })
})

test('a server whose processes do not all start ends when it is asked to', async (t) => {
  const file = join(folder.path, 'never.toml')
  await mkdir(join(folder.path, 'audit.2.log'))
  const audit = `[audit]\nfile = ${JSON.stringify(join(folder.path, 'audit.log'))}`
  await writeFile(file, configured('never', audit))
  const server = await start(file, '"a process has ended, and is replaced"')
  t.after(() => server.kill())
  const exit = await server.stop(30_000)
  assert.deepEqual(exit, { code: 0, signal: null }, server.log.slice(-20).join('\n'))
})

test('a process that starts while all are to end ends by itself', async (t) => {
  const processes = await startProcesses({}, 3)
  const { server } = processes
  t.after(() => server.kill())
  const ended = (): number => server.log.filter((line) => line.includes('is replaced"')).length
  const children = (await processes.pids()).slice(1)
  for (const pid of children) process.kill(pid, 'SIGKILL')
  await until('they are replaced', () => ended() === children.length)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  assert.ok(!server.log.some((line) => line.includes('does not stop')), server.log.join('\n'))
})
