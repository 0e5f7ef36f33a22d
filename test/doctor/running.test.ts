// Goal: beside a server that runs the doctor knows it for what it is, and a stranger for what that is.
// Method: the product, and a doctor with a configuration that names its port.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Finding } from '../../src/doctor/contract.ts'
import { runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'

describe('beside a running server', () => {
  let server: Server
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-beside-'))
    server = await startServer()
  })
  after(async () => {
    await server?.stop()
    await rm(folder, { recursive: true })
  })

  async function findings(port: number): Promise<readonly Finding[]> {
    const file = join(folder, 'config.toml')
    await writeFile(
      file,
      `[server]\nport = ${port}\n[blob_store.fs]\nroot_dir = ${JSON.stringify(server.rootDir)}\n[global.access_policy]\n`,
    )
    const { out } = await runCommand(['-c', file, 'doctor', '--json', '--quick'], folder)
    return (JSON.parse(out) as { readonly findings: readonly Finding[] }).findings
  }

  const find = (all: readonly Finding[], check: string): Finding | undefined =>
    all.find((each) => each.check === check)

  test('its port is no conflict, and its limits are those that count', async () => {
    const all = await findings(server.port)
    const listen = find(all, 'listen')
    assert.equal(listen?.severity, 'ok')
    assert.match(listen?.detail ?? '', new RegExp(`the running server has it .*pid ${server.pid}`))
    assert.match(find(all, 'open-files')?.detail ?? '', /^the server may have /)
    const socket = find(all, 'admin-socket')
    assert.deepEqual([socket?.severity, socket?.detail], ['ok', 'mode 0600'])
    assert.equal(find(all, 'store')?.severity, 'ok')
  })

  test('the port of a stranger is a conflict, and names it', async () => {
    const stranger = createServer().listen(0, '127.0.0.1')
    await once(stranger, 'listening')
    try {
      const listen = find(await findings((stranger.address() as AddressInfo).port), 'listen')
      assert.equal(listen?.severity, 'error')
      assert.match(listen?.detail ?? '', new RegExp(`^taken by .*, pid ${process.pid}$`))
      assert.equal(listen?.command, `ps -o pid,user,args -p ${process.pid}`)
    } finally {
      stranger.close()
    }
  })
})
