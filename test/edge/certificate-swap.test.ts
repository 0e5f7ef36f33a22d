// Goal: certificates are swapped under load without one failed handshake and without a cut transfer,
// where net.ipv4.tcp_migrate_req is 1, and nothing leaks. Method: 200 swaps in a network namespace with
// that setting, while clients come and go and a transfer and a connection outlive them all.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { uwsProblem } from '../../src/server/transport/uws/listen.ts'
import { createPki, type Pki } from '../support/pki.ts'
import { run } from '../support/run.ts'
import { needsRootAnd, needsThat } from '../support/tools.ts'
import type { SwapOrder, Swapped } from './certificate-swapper.ts'

const swaps = 200
// Each context with its certificates is some 30 KiB, which uWebSockets.js keeps to the process's end.
const bytesPerSwapMax = 64 * 1024

const migrating = 'ip link set lo up && sysctl -qw net.ipv4.tcp_migrate_req=1 && exec "$@"'
const inNamespace = ['--net', 'sh', '-c', migrating, 'sh'] as const

function needsNamespace(): { readonly skip: string | false } {
  const tools = needsRootAnd('unshare', 'ip', 'sysctl', 'openssl')
  if (tools.skip !== false) return tools
  const tried = spawnSync('unshare', [...inNamespace, 'true'])
  return needsThat(tried.status === 0 ? [] : ['network namespaces with net.ipv4.tcp_migrate_req'])
}

describe('certificate swaps under load', { ...needsNamespace(), concurrency: true }, () => {
  let folder: string
  let pki: Pki

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-swap-'))
    pki = await createPki(folder)
  })

  after(() => rm(folder, { recursive: true, force: true }))

  async function swapped(transport: SwapOrder['transport']): Promise<Swapped> {
    const certificates = [pki.server, await pki.serverCa.serverCertificate()]
    // This file and the program have the same extension, built or not.
    const own = fileURLToPath(import.meta.url)
    const program = own.replace(/swap\.test(\.[jt]s)$/, 'swapper$1')
    const order: SwapOrder = { transport, swaps, certificates }
    const command = [process.execPath, program, JSON.stringify(order)]
    const done = JSON.parse(await run('unshare', [...inNamespace, ...command])) as Swapped
    assert.deepEqual(done.failures, [])
    assert.ok(done.handshakes >= swaps, `${done.handshakes} handshakes`)
    assert.equal(done.served, swaps)
    assert.equal(done.transferred, 64 * 1024 * 1024)
    assert.equal(done.lastSerial, certificates[swaps % certificates.length]?.serial)
    assert.ok(done.descriptorsLeft <= 0, `${done.descriptorsLeft} descriptors left`)
    assert.ok(done.bytesPerSwap < bytesPerSwapMax, `${done.bytesPerSwap} bytes each`)
    return done
  }

  const uws = needsThat(uwsProblem === undefined ? [] : [uwsProblem])
  test('uws: 200 swaps, no failed handshake, no cut transfer, no leak', uws, async (context) => {
    context.diagnostic(JSON.stringify(await swapped('uws')))
  })

  test('node: 200 swaps, no failed handshake, no cut transfer, no leak', async (context) => {
    context.diagnostic(JSON.stringify(await swapped('node')))
  })
})
