// The kernel's table of TCP sockets, for what the native library does not tell.

import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { addressFromBytes } from './address.ts'

/** How many connections each peer address has. */
export type PeerCounts = ReadonlyMap<string, number>

const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
// sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
const fields = { remote: 2, state: 3, inode: 9 } as const
const listening = '0A'

/**
 * The peers of the connections to these ports of ours; undefined where the system has no such table.
 * Source: Linux, Documentation/networking/proc_net_tcp.rst.
 */
export function countPeersNow(ports: ReadonlySet<number>): PeerCounts | undefined {
  try {
    return countPeers(
      tables.map((table) => readFileSync(table, 'latin1')),
      ports,
    )
  } catch {
    return undefined
  }
}

/** The same, without waiting for the kernel, which looks at every socket of the host. */
export async function countPeersLater(ports: ReadonlySet<number>): Promise<PeerCounts | undefined> {
  try {
    return countPeers(await Promise.all(tables.map((table) => readFile(table, 'latin1'))), ports)
  } catch {
    return undefined
  }
}

function countPeers(texts: readonly string[], ports: ReadonlySet<number>): PeerCounts {
  const names = new Set([...ports].map((port) => port.toString(16).toUpperCase().padStart(4, '0')))
  const peers = new Map<string, number>()
  for (const text of texts) countLines(text, names, peers)
  return peers
}

function countLines(table: string, ports: ReadonlySet<string>, peers: Map<string, number>): void {
  for (const line of table.split('\n')) {
    // The cheap look first: a host may have very many sockets.
    const colon = line.indexOf(':', line.indexOf(':') + 1)
    if (!ports.has(line.slice(colon + 1, colon + 5))) continue
    const parts = line.trim().split(/ +/)
    // A socket without an inode belongs to nobody yet, or to nobody any more.
    if (parts[fields.state] === listening || parts[fields.inode] === '0') continue
    const address = addressOf(parts[fields.remote] ?? '')
    peers.set(address, (peers.get(address) ?? 0) + 1)
  }
}

// Words of 32 bits, each in the byte order of the machine.
function addressOf(remote: string): string {
  const bytes = Buffer.from(remote.slice(0, remote.indexOf(':')), 'hex')
  return addressFromBytes(endianness() === 'LE' ? bytes.swap32() : bytes)
}

/** How many sockets listen on exactly this address and port; undefined without such a table. */
export function countListening(address: string, port: number): number | undefined {
  let count = 0
  try {
    for (const table of tables) {
      for (const line of readFileSync(table, 'latin1').split('\n')) {
        const [, local = '', , state] = line.trim().split(/ +/)
        if (state !== listening || Number.parseInt(local.split(':')[1] ?? '', 16) !== port) continue
        if (addressOf(local) === address) count += 1
      }
    }
  } catch {
    return undefined
  }
  return count
}
