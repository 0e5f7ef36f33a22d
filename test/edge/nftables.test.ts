// Goal: the nftables recipe of tuning.md sends a client address to one process always, so that every
// ticket is resumed. Method: its ruleset, verbatim, in a network namespace with two processes of one
// store, and clients behind many addresses in another; then the same without the hash.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { needsNamespaces } from '../support/own-network.ts'
import { type Certificate, createPki, type Pki } from '../support/pki.ts'
import { run } from '../support/run.ts'
import { projectRoot, type Server, startServer } from '../support/server.ts'
import { needs } from '../support/tools.ts'
import type { Steered, SteeredOrder } from './steered-client.ts'
import { createSteeredNetwork, type SteeredNetwork } from './steered-network.ts'

const clients = 16
const resumptions = 4
const ports = [8441, 8442] as const

/** The one block of tuning.md that is a ruleset. */
async function recipe(): Promise<string> {
  const text = await readFile(join(projectRoot, 'tuning.md'), 'utf8')
  const blocks = [...text.matchAll(/^```nft\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')
  assert.equal(blocks.length, 1, 'tuning.md has one ruleset')
  return blocks[0] ?? ''
}

function configuration(folder: string, port: number, certificate: Certificate): string {
  return `[server]
bind_address = "::"
port = ${port}
[server.tls]
server_certificate_bundle = "${certificate.bundleFile}"
server_private_key = "${certificate.keyFile}"
[storage]
sharing = "shared"
[admin]
socket = "${join(folder, `${port}.sock`)}"
[blob_store.fs]
root_dir = "${join(folder, 'data')}"
[global.access_policy]
default = "allow"
`
}

describe('two uws processes behind one address', {
  skip: needsNamespaces.skip || needs('openssl').skip,
}, () => {
  let folder: string
  let network: SteeredNetwork
  let pki: Pki
  const servers: Server[] = []
  const serials: string[] = []

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-nftables-'))
    await mkdir(join(folder, 'data'))
    pki = await createPki(join(folder, 'pki'))
    network = await createSteeredNetwork(clients)
    for (const port of ports) {
      // Each has a certificate of its own, which tells the client who answered.
      const certificate = await pki.serverCa.serverCertificate()
      serials.push(certificate.serial)
      const base = configuration(folder, port, certificate)
      servers.push(await startServer({ base, wrap: network.onServer }))
    }
  })

  after(async () => {
    for (const server of servers) await server.stop()
    await network?.remove()
    await rm(folder, { recursive: true, force: true })
  })

  async function visit(host: string, addresses: readonly string[]): Promise<readonly Steered[]> {
    // This file and the program have the same extension, built or not.
    const own = fileURLToPath(import.meta.url)
    const program = own.replace(/nftables\.test(\.[jt]s)$/, 'steered-client$1')
    const order: SteeredOrder = {
      ...{ host, port: 443, ca: pki.serverCa.pem, servername: 'registry.test' },
      ...{ addresses, resumptions },
    }
    const [command = '', ...args] = [...network.onClient, process.execPath, program]
    return JSON.parse(await run(command, [...args, JSON.stringify(order)])) as readonly Steered[]
  }

  function assertSteered(all: readonly Steered[]): void {
    for (const { address, serials: seen, resumed } of all) {
      assert.equal(seen[0], seen[1], `${address} always meets the same process`)
      assert.deepEqual(resumed, Array(resumptions).fill(true), `${address} resumes always`)
    }
    const met = new Set(all.map(({ serials: [serial] }) => serial))
    assert.deepEqual([...met].sort(), [...serials].sort(), 'both processes have clients')
  }

  test('every IPv4 address has its process, and each session is resumed', async () => {
    await network.rule(await recipe())
    assertSteered(await visit(network.serverHost.ipv4, network.clientsIpv4))
  })

  test('every IPv6 network has its process, and each session is resumed', async () => {
    await network.rule(await recipe())
    const all = await visit(network.serverHost.ipv6, network.clientsIpv6)
    assertSteered(all)
    // A host that changes its temporary address stays within its /64.
    assert.equal(all.at(-1)?.serials[0], all[0]?.serials[0])
  })

  test('loading the rules again moves nobody', async () => {
    await network.rule(await recipe())
    const first = await visit(network.serverHost.ipv4, network.clientsIpv4)
    await network.rule(await recipe())
    const second = await visit(network.serverHost.ipv4, network.clientsIpv4)
    const placed = (all: readonly Steered[]) => all.map(({ serials: [serial] }) => serial)
    assert.deepEqual(placed(second), placed(first))
  })

  // The product shares no port between processes, so turns stand for what SO_REUSEPORT would do.
  test('by turns instead of by address, half of the tickets are worth nothing', async () => {
    const hash = /jhash ip6? saddr(?: & \S+)? mod 2 seed \S+/g
    const ruleset = await recipe()
    assert.equal(ruleset.match(hash)?.length, 2)
    await network.rule(ruleset.replaceAll(hash, 'numgen inc mod 2'))
    const all = await visit(network.serverHost.ipv4, network.clientsIpv4)
    const resumed = all.flatMap((each) => each.resumed)
    assert.equal(resumed.filter(Boolean).length, resumed.length / 2)
  })
})
