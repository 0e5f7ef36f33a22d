// The kernel's table of TCP sockets, for what the native library does not tell.

import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { addressFromBytes } from './address.ts'

/** How many connections to these ports of ours each peer address has; undefined without such a table. */
export type CountPeers = (ports: ReadonlySet<number>) => ReadonlyMap<string, number> | undefined

const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
// sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
const fields = { remote: 2, state: 3, inode: 9 } as const
const listening = '0A'

/** Source: Linux, Documentation/networking/proc_net_tcp.rst. */
export const countPeersOfKernel: CountPeers = (ports) => {
  const names = new Set([...ports].map((port) => port.toString(16).toUpperCase().padStart(4, '0')))
  const peers = new Map<string, number>()
  try {
    for (const table of tables) countLines(readFileSync(table, 'latin1'), names, peers)
  } catch {
    return undefined
  }
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
