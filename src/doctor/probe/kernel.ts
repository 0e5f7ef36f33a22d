// Reads the kernel's version and its settings.
import type { KernelFacts } from '../check/kernel.ts'
import type { PagingFacts } from '../check/paging.ts'
import type { Host } from '../host.ts'

type KernelSettings = Omit<
  KernelFacts,
  'hasTlsOnUws' | 'asksOthers' | 'listensOnTcp' | 'connectionsMax'
>

export async function readKernel(host: Host): Promise<KernelSettings> {
  const [release, somaxconn, tcpMigrateReq, tcpTwReuse, tcpRmem, tcpWmem, ...tracking] =
    await readAll(host, [
      ...['kernel/osrelease', 'net/core/somaxconn', 'net/ipv4/tcp_migrate_req'],
      ...['net/ipv4/tcp_tw_reuse', 'net/ipv4/tcp_rmem', 'net/ipv4/tcp_wmem'],
      ...['net/netfilter/nf_conntrack_max', 'net/netfilter/nf_conntrack_count'],
    ])
  const [conntrackMax, conntrackCount] = tracking
  const buffers = { tcpRmem, tcpWmem, conntrackMax, conntrackCount }
  return { release, somaxconn, tcpMigrateReq, tcpTwReuse, ...buffers }
}

export async function readPaging(host: Host): Promise<PagingFacts> {
  const [swappiness, dirtyBackgroundRatio, dirtyBackgroundBytes] = await readAll(host, [
    ...['vm/swappiness', 'vm/dirty_background_ratio', 'vm/dirty_background_bytes'],
  ])
  const hugePages = await host.text('/sys/kernel/mm/transparent_hugepage/enabled')
  const swaps = await host.text('/proc/swaps')
  const information = await host.text('/proc/meminfo')
  const [, availableKib] = /^MemAvailable: +(\d+) kB/m.exec(information ?? '') ?? []
  return {
    ...{ swappiness, dirtyBackgroundRatio, dirtyBackgroundBytes },
    hugePages: /\[(\w+)\]/.exec(hugePages ?? '')?.[1],
    // The first line is the heading.
    hasSwap: swaps === undefined ? undefined : swaps.trim().split('\n').length > 1,
    availableBytes: availableKib === undefined ? undefined : Number(availableKib) * 1024,
  }
}

/** Below /proc/sys, in the order of `places`. */
function readAll(host: Host, places: readonly string[]): Promise<Array<string | undefined>> {
  return Promise.all(places.map(async (place) => (await host.text(`/proc/sys/${place}`))?.trim()))
}
