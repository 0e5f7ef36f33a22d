// The kernel's table of TCP sockets, for what the native library does not tell.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { addressFromBytes } from './address.ts'

/** How many connections each peer address has. */
export type PeerCounts = ReadonlyMap<string, number>

const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
// sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
const fields = { remote: 2, state: 3, inode: 9 } as const
const listening = '0A'

/** The inodes of our own sockets; undefined where all sockets of our ports are ours. */
type Own = ReadonlySet<string> | undefined

/**
 * The peers of the connections to these ports of ours; undefined where the system has no such table.
 * `isShared`: other processes listen on them, too, and have connections of their own.
 * Source: Linux, Documentation/networking/proc_net_tcp.rst; proc(5), /proc/pid/fd.
 */
export function countPeersNow(
  ports: ReadonlySet<number>,
  isShared = false,
): PeerCounts | undefined {
  try {
    const texts = tables.map((table) => readFileSync(table, 'latin1'))
    return countPeers(texts, ports, isShared ? ownNow() : undefined)
  } catch {
    return undefined
  }
}

/** The same, without waiting for the kernel, which looks at every socket of the host. */
export async function countPeersLater(
  ports: ReadonlySet<number>,
  isShared = false,
): Promise<PeerCounts | undefined> {
  try {
    const texts = await Promise.all(tables.map((table) => readFile(table, 'latin1')))
    return countPeers(texts, ports, isShared ? await ownLater() : undefined)
  } catch {
    return undefined
  }
}

const ownFiles = '/proc/self/fd'
const linksAtOnce = 256

function ownNow(): ReadonlySet<string> {
  return new Set(readdirSync(ownFiles).map(inodeOf))
}

// Each link is read in a microsecond or two, but there may be very many.
async function ownLater(): Promise<ReadonlySet<string>> {
  const names = readdirSync(ownFiles)
  const own = new Set<string>()
  for (let from = 0; from < names.length; from += linksAtOnce) {
    for (const name of names.slice(from, from + linksAtOnce)) own.add(inodeOf(name))
    await new Promise((resolve) => setImmediate(resolve))
  }
  return own
}

// '' for what is no socket, or was closed meanwhile.
function inodeOf(name: string): string {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${ownFiles}/${name}`))?.[1] ?? ''
  } catch {
    return ''
  }
}

function countPeers(texts: readonly string[], ports: ReadonlySet<number>, own: Own): PeerCounts {
  const names = new Set([...ports].map((port) => port.toString(16).toUpperCase().padStart(4, '0')))
  const peers = new Map<string, number>()
  for (const text of texts) countLines(text, names, own, peers)
  return peers
}

function countLines(
  table: string,
  ports: ReadonlySet<string>,
  own: Own,
  peers: Map<string, number>,
): void {
  for (const line of table.split('\n')) {
    // The cheap look first: a host may have very many sockets.
    const colon = line.indexOf(':', line.indexOf(':') + 1)
    if (!ports.has(line.slice(colon + 1, colon + 5))) continue
    const parts = line.trim().split(/ +/)
    // A socket without an inode belongs to nobody yet, or to nobody any more.
    const { [fields.inode]: inode = '0' } = parts
    if (parts[fields.state] === listening || inode === '0') continue
    if (own !== undefined && !own.has(inode)) continue
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
