// Finds who listens where: the kernel's tables of sockets, and the processes that have them open.
import type { ListenerConfig } from '../../config/schema.ts'
import type { Holder, ListenerFacts } from '../check/network.ts'
import type { Host } from '../host.ts'

/** A socket that waits for connections. */
interface Listening {
  /** As hexadecimal bytes in network order: 8 or 32 digits. */
  readonly address: string
  readonly port: number
  readonly inode: string
}

const listenState = '0A'
const processesMax = 8192
const descriptorsMax = 65_536
const capNetBindService = 10
const lowPorts = 1024

/** `serverPid`: of the server that runs with this configuration. */
export async function readListeners(
  host: Host,
  listeners: readonly ListenerConfig[],
  {
    serverPid,
    addresses,
  }: {
    readonly serverPid: number | undefined
    /** Of the interfaces; undefined where they are not known. */
    readonly addresses: ReadonlySet<string> | undefined
  },
): Promise<readonly ListenerFacts[]> {
  const tables = [
    ...parseTable((await host.text('/proc/net/tcp')) ?? ''),
    ...parseTable((await host.text('/proc/net/tcp6')) ?? ''),
  ]
  const unix = parseUnix((await host.text('/proc/net/unix')) ?? '')
  const inodesOf = listeners.map((listener) =>
    listener.kind === 'unix'
      ? (unix.get(listener.path) ?? [])
      : tables.filter((each) => meets(each, listener)).map(({ inode }) => inode),
  )
  const holders = await findHolders(host, new Set(inodesOf.flat()), serverPid)
  const mayAll = await mayBindAll(host)
  const firstFree = Number(
    (await host.text('/proc/sys/net/ipv4/ip_unprivileged_port_start')) ?? lowPorts,
  )
  const foreign = (await host.text('/proc/sys/net/ipv4/ip_nonlocal_bind')) === '1'
  return Promise.all(
    listeners.map(async (listener, index) => {
      const inodes = inodesOf[index] ?? []
      const unseen = { pid: undefined, name: undefined, isOurs: false }
      const held = inodes.flatMap((inode) => holders.get(inode) ?? [unseen])
      const isUnix = listener.kind === 'unix'
      const found = isUnix ? await host.state(listener.path) : undefined
      return {
        place: isUnix ? listener.path : `${listener.address} port ${listener.port}`,
        holders: [...new Map(held.map((holder) => [holder.pid, holder])).values()],
        isHere: isUnix || foreign || isAddressHere(listener.address, addresses),
        isPrivileged: !isUnix && listener.port > 0 && listener.port < firstFree && !mayAll,
        isBlocked: found !== undefined && found.kind !== 'socket',
      }
    }),
  )
}

/** Source: proc_net_tcp(5): words of the address in the byte order of the machine. */
function parseTable(written: string): readonly Listening[] {
  const found: Listening[] = []
  for (const line of written.split('\n')) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
    const [, address, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local ?? '') ?? []
    if (state !== listenState || address === undefined || port === undefined) continue
    if (inode === undefined || !/^\d+$/.test(inode)) continue
    found.push({ address: networkOrder(address), port: Number.parseInt(port, 16), inode })
  }
  return found
}

function networkOrder(words: string): string {
  const swapped = words.match(/.{8}/g)?.map((word) => word.match(/../g)?.toReversed().join(''))
  return swapped?.join('').toLowerCase() ?? ''
}

const anyV4 = '00000000'
const anyV6 = '0'.repeat(32)
const mapped = `${'0'.repeat(20)}ffff`

function meets(taken: Listening, wanted: ListenerConfig & { readonly kind: 'tcp' }): boolean {
  if (wanted.port === 0 || taken.port !== wanted.port) return false
  const own = plain(hexOf(wanted.address))
  const other = plain(taken.address)
  if (own === other) return true
  // A socket on `::` takes both families, unless it was told not to, which nothing shows.
  if (own === anyV6 || other === anyV6) return true
  return own.length === other.length && (own === anyV4 || other === anyV4)
}

function plain(hex: string): string {
  return hex.length === 32 && hex.startsWith(mapped) ? hex.slice(mapped.length) : hex
}

function hexOf(address: string): string {
  if (!address.includes(':')) {
    return address
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0'))
      .join('')
  }
  const url = `http://[${address.split('%')[0]}]`
  const short = URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : address
  const [head = '', tail] = short.split('::')
  const parts = (text: string | undefined): readonly string[] =>
    text === undefined || text === '' ? [] : text.split(':')
  const missing = 8 - parts(head).length - parts(tail).length
  const groups = [...parts(head), ...Array<string>(Math.max(0, missing)).fill('0'), ...parts(tail)]
  return groups.map((group) => group.padStart(4, '0')).join('')
}

function isAddressHere(address: string, known: ReadonlySet<string> | undefined): boolean {
  const hex = hexOf(address)
  if (known === undefined || hex === anyV4 || hex === anyV6) return true
  // All of 127.0.0.0/8 is this host's, whatever its interfaces say.
  if (/^7f.{6}$/.test(hex)) return true
  return [...known].some((each) => hexOf(each) === hex)
}

// Source: proc_net_unix: the path is the last field, and bit 16 of the flags says that it listens.
function parseUnix(written: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const line of written.split('\n')) {
    const match = /^\S+: \S+ \S+ ([0-9A-F]+) \S+ \S+ +(\d+) (\/.*)$/.exec(line)
    const [, flags = '0', inode, path] = match ?? []
    if (inode === undefined || path === undefined) continue
    if ((Number.parseInt(flags, 16) & 0x10000) === 0) continue
    found.set(path, [...(found.get(path) ?? []), inode])
  }
  return found
}

/** By inode. What belongs to others is mostly not to be seen, so that it has no holder. */
async function findHolders(
  host: Host,
  inodes: ReadonlySet<string>,
  serverPid: number | undefined,
): Promise<ReadonlyMap<string, readonly Holder[]>> {
  const found = new Map<string, Holder[]>()
  if (inodes.size === 0) return found
  const pids = ((await host.entries('/proc')) ?? []).filter((name) => /^\d+$/.test(name))
  let looked = 0
  for (const pid of pids.slice(0, processesMax)) {
    const descriptors = (await host.entries(`/proc/${pid}/fd`)) ?? []
    looked += descriptors.length
    if (looked > descriptorsMax) break
    const targets = await Promise.all(
      descriptors.map((each) => host.target(`/proc/${pid}/fd/${each}`)),
    )
    for (const target of new Set(targets)) {
      const inode = /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1]
      if (inode === undefined || !inodes.has(inode)) continue
      const holder = await holderOf(host, pid, serverPid)
      found.set(inode, [...(found.get(inode) ?? []), holder])
    }
  }
  return found
}

async function holderOf(host: Host, pid: string, serverPid: number | undefined): Promise<Holder> {
  const status = (await host.text(`/proc/${pid}/status`)) ?? ''
  const name = /^Name:\s+(.+)$/m.exec(status)?.[1]
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1])
  // The children of its supervisor are the server, too.
  const isOurs = serverPid !== undefined && [Number(pid), parent].includes(serverPid)
  return { pid: Number(pid), name, isOurs }
}

async function mayBindAll(host: Host): Promise<boolean> {
  const status = (await host.text('/proc/self/status')) ?? ''
  const [, bits = '0'] = /^CapEff:\s+([0-9a-f]+)$/m.exec(status) ?? []
  return ((BigInt(`0x${bits}`) >> BigInt(capNetBindService)) & 1n) === 1n
}
