// How many bytes the kernel still holds of what was written to a connection. A socket asks for more
// only when a third of its buffer is free, which for a slow reader can be a minute's worth of bytes.

import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { endianness } from 'node:os'

type Watcher = (queuedBytes: number) => void

// Below /proc/self they are there for services from which the rest of /proc is hidden, too.
const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const

/** Looks at the kernel's tables while somebody watches a connection, and not otherwise. */
export class KernelQueues {
  readonly #watchers = new Map<string, Watcher>()
  #isReading = false
  #isReadable = true

  /**
   * `onQueue` is called at every `refresh` from now on, until the returned function is; undefined
   * where there is nothing to look at: unix sockets, other systems. Units: bytes.
   */
  watch(raw: Socket, onQueue: Watcher): (() => void) | undefined {
    const key = this.#isReadable ? rowKey(raw) : undefined
    if (key === undefined) return undefined
    this.#watchers.set(key, onQueue)
    return () => this.#watchers.delete(key)
  }

  /** Called every while; does nothing while nobody watches or the last look is not over. */
  refresh(): void {
    if (this.#watchers.size > 0 && !this.#isReading) void this.#read()
  }

  async #read(): Promise<void> {
    this.#isReading = true
    const untold = new Map(this.#watchers)
    for (const table of tables) {
      try {
        tell(await readFile(table, 'latin1'), untold)
      } catch {
        // Without IPv6 there is no second table; without the first there is no Linux.
        if (table === tables[0]) this.#isReadable = false
      }
    }
    // A row that is not there is no reason to wait for ever.
    for (const onQueue of untold.values()) onQueue(0)
    this.#isReading = false
  }
}

/** Columns: number, local, remote, state, transmit queue : receive queue. Source: proc(5). */
function tell(table: string, untold: Map<string, Watcher>): void {
  for (const row of table.split('\n')) {
    const [, local = '', remote = '', , queues = ''] = row.trim().split(/ +/, 5)
    const key = `${local} ${remote}`
    untold.get(key)?.(Number.parseInt(queues.slice(0, 8), 16))
    untold.delete(key)
  }
}

function rowKey({
  localAddress,
  localPort,
  remoteAddress,
  remotePort,
}: Socket): string | undefined {
  if (localAddress === undefined || localPort === undefined) return undefined
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  return `${rowAddress(localAddress, localPort)} ${rowAddress(remoteAddress, remotePort)}`
}

function rowAddress(address: string, port: number): string {
  const bytes = addressBytes(address)
  // The kernel prints words as numbers of the machine.
  if (endianness() === 'LE') bytes.swap32()
  const portText = port.toString(16).padStart(4, '0')
  return `${bytes.toString('hex')}:${portText}`.toUpperCase()
}

/** `address` as node prints it. */
function addressBytes(address: string): Buffer {
  const [plain = ''] = address.split('%')
  if (!plain.includes(':')) return Buffer.from(plain.split('.').map(Number))
  const [before = '', after] = plain.split('::')
  const left = groupBytes(before)
  const right = groupBytes(after ?? '')
  return Buffer.concat([left, Buffer.alloc(16 - left.length - right.length), right])
}

function groupBytes(groups: string): Buffer {
  if (groups === '') return Buffer.alloc(0)
  const bytes = groups.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
  return Buffer.from(bytes)
}
