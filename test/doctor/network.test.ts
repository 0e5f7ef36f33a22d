// Goal: whoever has an address is found and named, and our own server is no conflict. Method: tables of the
// kernel as files; real sockets of this process; a table of interfaces and routes.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { ListenerConfig } from '../../src/config/schema.ts'
import { checkNetwork, type NetworkFacts } from '../../src/doctor/check/network.ts'
import { openHost } from '../../src/doctor/host.ts'
import { readLinks, readPaths } from '../../src/doctor/probe/network.ts'
import { readListeners } from '../../src/doctor/probe/sockets.ts'
import { type FakeMachine, fakeHost, type Tree } from './fake-tree.ts'
import { said } from './said.ts'

const heading =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const row = (local: string, state: string, inode: number): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0\n`

const tcp = (address: string, port: number): ListenerConfig => ({
  ...{ kind: 'tcp', address, port, tls: false, proxyProtocol: false },
})

const quiet: Omit<NetworkFacts, 'listeners'> = {
  ...{ links: [], uplinks: [], paths: [], mtuProbing: '1' },
}

async function says(
  machine: FakeMachine,
  listener: ListenerConfig,
  serverPid?: number,
  addresses?: ReadonlySet<string>,
): Promise<string> {
  const host = fakeHost(machine)
  const listeners = await readListeners(host, [listener], { serverPid, addresses })
  return said(checkNetwork({ ...quiet, listeners }))[0] ?? ''
}

/** nginx, pid 42, on 0.0.0.0:443. */
const taken: Tree = {
  '/proc/net/tcp': heading + row('00000000:01BB', '0A', 777) + row('0100007F:01BC', '01', 778),
  '/proc/42/fd/5': '→ socket:[777]',
  '/proc/42/fd/6': '→ /dev/null',
  '/proc/42/status': 'Name:\tnginx\nPPid:\t1\n',
  '/proc/self/status': 'Name:\tnode\nCapEff:\t0000000000000400\n',
}

describe('the check of listeners', () => {
  test('names who has the address', async () => {
    for (const address of ['0.0.0.0', '192.0.2.1', '::', '127.0.0.1']) {
      const line = await says({ tree: taken }, tcp(address, 443))
      assert.equal(line, `error listener ${address} port 443: taken by nginx, pid 42`)
    }
    assert.match(await says({ tree: taken }, tcp('0.0.0.0', 444)), /^ok .* it is free$/)
    assert.match(await says({ tree: taken }, tcp('::1', 443)), /^ok .* it is free$/)
  })

  test('knows that our own server and its children are no conflict', async () => {
    assert.match(
      await says({ tree: taken }, tcp('0.0.0.0', 443), 42),
      /^ok .* the running server has it \(nginx, pid 42\)$/,
    )
    assert.match(await says({ tree: taken }, tcp('0.0.0.0', 443), 1), /^ok .*the running server/)
    assert.match(await says({ tree: taken }, tcp('0.0.0.0', 443), 7), /^error/)
  })

  test('says so where the process is not to be seen', async () => {
    const hidden = { '/proc/net/tcp': heading + row('00000000:01BB', '0A', 777) }
    assert.match(
      await says({ tree: hidden }, tcp('0.0.0.0', 443), 42),
      /^error .* taken by a process that this user may not see$/,
    )
  })

  test('understands IPv6, and addresses of IPv4 in it', async () => {
    const one = '00000000000000000000000001000000:01BB'
    const mapped = '0000000000000000FFFF00000100007F:01BB'
    const own = 'B80D0120000000000000000001000000:01BB'
    const table = (local: string): FakeMachine => ({
      tree: { '/proc/net/tcp6': heading + row(local, '0A', 9) },
    })
    assert.match(await says(table(one), tcp('::1', 443)), /^error/)
    assert.match(await says(table(one), tcp('0:0:0:0:0:0:0:1', 443)), /^error/)
    assert.match(await says(table(one), tcp('127.0.0.1', 443)), /^(ok|advice)/)
    assert.match(await says(table(mapped), tcp('127.0.0.1', 443)), /^error/)
    assert.match(await says(table(own), tcp('2001:db8::1', 443)), /^error/)
    assert.match(await says(table('0'.repeat(32).concat(':01BB')), tcp('10.0.0.1', 443)), /^error/)
  })

  test('minds low ports and the right to them', async () => {
    const bare = { '/proc/self/status': 'CapEff:\t0000000000000000\n' }
    assert.match(
      await says({ tree: bare }, tcp('::', 443)),
      /^advice .*may not take a port so low$/,
    )
    assert.match(await says({ tree: bare }, tcp('::', 8443)), /^ok/)
    const open = { ...bare, '/proc/sys/net/ipv4/ip_unprivileged_port_start': '0\n' }
    assert.match(await says({ tree: open }, tcp('::', 443)), /^ok/)
    assert.match(await says({ tree: taken }, tcp('::', 80)), /^ok/)
  })

  test('finds that no interface has the address', async () => {
    const here = new Set(['192.0.2.1', 'fe80::1'])
    const line = async (address: string, tree: Tree = {}): Promise<string> =>
      says({ tree }, tcp(address, 8443), undefined, here)
    assert.match(await line('192.0.2.1'), /^ok/)
    assert.match(await line('127.0.0.9'), /^ok/)
    assert.match(await line('0.0.0.0'), /^ok/)
    assert.match(await line('192.0.2.2'), /^error .*no interface of this machine has that address$/)
    const foreign = { '/proc/sys/net/ipv4/ip_nonlocal_bind': '1' }
    assert.match(await line('192.0.2.2', foreign), /^ok/)
  })

  test('finds unix sockets, and files in their place', async () => {
    const unix: ListenerConfig = {
      ...{ kind: 'unix', path: '/run/k.sock', mode: 0o660, tls: false, proxyProtocol: false },
    }
    const table =
      'Num       RefCount Protocol Flags    Type St Inode Path\n' +
      'ffff0000: 00000002 00000000 00010000 0001 01 777 /run/k.sock\n' +
      'ffff0000: 00000003 00000000 00000000 0001 03 778 /run/other.sock\n'
    const tree = { ...taken, '/proc/net/unix': table }
    assert.match(await says({ tree }, unix), /^error listener \/run\/k\.sock: taken by nginx/)
    assert.match(await says({ tree }, { ...unix, path: '/run/other.sock' }), /^ok/)
    const file = { '/run/k.sock': 'text' }
    assert.match(await says({ tree: file }, unix), /^error .*a file that is no socket is there$/)
  })

  test('sees real sockets of this machine', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-sockets-'))
    const path = join(folder, 'a.sock')
    const servers = [createServer(), createServer()]
    try {
      servers[0]!.listen(0, '127.0.0.1')
      servers[1]!.listen(path)
      await Promise.all(servers.map((each) => once(each, 'listening')))
      const { port } = servers[0]!.address() as AddressInfo
      const unix: ListenerConfig = {
        ...{ kind: 'unix', path, mode: 0o660, tls: false, proxyProtocol: false },
      }
      const both = [tcp('0.0.0.0', port), unix]
      const read = (serverPid?: number) =>
        readListeners(openHost(), both, { serverPid, addresses: undefined })
      for (const { holders } of await read()) {
        assert.deepEqual(
          holders.map(({ pid, isOurs }) => [pid, isOurs]),
          [[process.pid, false]],
        )
      }
      for (const { holders } of await read(process.pid)) assert.equal(holders[0]?.isOurs, true)
      await writeFile(join(folder, 'b'), '')
    } finally {
      for (const server of servers) server.close()
      await rm(folder, { recursive: true })
    }
  })
})

describe('the check of the MTU', () => {
  const routes =
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n'
  const route = (device: string): string =>
    `${device}\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`
  const link = (name: string, mtu: string, isReal = true): Tree => ({
    [`/sys/class/net/${name}/mtu`]: mtu,
    [`/sys/class/net/${name}/operstate`]: 'up\n',
    ...(isReal ? { [`/sys/class/net/${name}/device/vendor`]: '0x8086' } : {}),
  })
  const line = async (machine: FakeMachine): Promise<string> => {
    const host = fakeHost(machine)
    const paths = await readPaths(host, [{ service: 'auth.ldap.corp', hostname: '127.0.0.9' }])
    const facts = { ...(await readLinks(host)), listeners: [], paths }
    return said(checkNetwork(facts)).join()
  }
  const table = { '/proc/net/route': routes + route('eth0') }
  const quietly = { '/proc/sys/net/ipv4/tcp_mtu_probing': '0\n' }

  test('is content with Ethernet, and tells of tunnels', async () => {
    const tree = { ...table, ...quietly, ...link('eth0', '1500'), ...link('wg0', '1420', false) }
    assert.equal(await line({ tree }), 'ok MTU: eth0 1500; 1 tunnel or bridge below 1500')
  })

  test('advises where the way out takes other packets, unless the kernel finds out itself', async () => {
    const tree = { ...table, ...quietly, ...link('eth0', '1400'), ...link('lo', '65536', false) }
    assert.equal(await line({ tree }), 'advice MTU: eth0 has 1400')
    const probing = { ...tree, '/proc/sys/net/ipv4/tcp_mtu_probing': '1\n' }
    assert.equal(await line({ tree: probing }), 'ok MTU: eth0 1400')
    const jumbo = { ...table, ...quietly, ...link('eth0', '9000') }
    assert.equal(await line({ tree: jumbo }), 'advice MTU: eth0 has 9000')
  })

  test('knows what the kernel learned of the way to a service', async () => {
    const tree = { ...table, ...quietly, ...link('eth0', '1500') }
    const printed = '127.0.0.9 dev eth0 src 10.0.0.1 uid 0 \\    cache expires 500sec mtu 1280\n'
    const programs = { 'ip -o route get 127.0.0.9': printed }
    assert.equal(await line({ tree, programs }), 'advice MTU: 1280 to 127.0.0.9 (auth.ldap.corp)')
  })

  test('says what it does not know', async () => {
    assert.equal(await line({}), 'unknown MTU: no interface is to be seen')
    const tree = { ...quietly, ...link('eth0', 'odd') }
    assert.equal(await line({ tree }), 'unknown MTU: no interface is to be seen')
  })
})
