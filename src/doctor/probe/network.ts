// Reads what is known of interfaces, and of the ways to other services.
import { lookup } from 'node:dns/promises'
import type { LinkFacts, NetworkFacts, PathFacts } from '../check/network.ts'
import { type Host, within } from '../host.ts'

/** Another service that the server calls. */
export interface Destination {
  /** Its table in the configuration. */
  readonly service: string
  /** A name or an address. */
  readonly hostname: string
}

export async function readLinks(
  host: Host,
): Promise<Pick<NetworkFacts, 'links' | 'uplinks' | 'mtuProbing'>> {
  const names = (await host.entries('/sys/class/net')) ?? []
  const links = await Promise.all(names.map((name) => readLink(host, name)))
  const [v4, v6, mtuProbing] = await Promise.all(
    ['/proc/net/route', '/proc/net/ipv6_route', '/proc/sys/net/ipv4/tcp_mtu_probing'].map((path) =>
      host.text(path),
    ),
  )
  return {
    links: links.filter((link) => link !== undefined),
    uplinks: [...new Set([...defaultsOf(v4 ?? ''), ...defaultsOfV6(v6 ?? '')])],
    mtuProbing: mtuProbing?.trim(),
  }
}

async function readLink(host: Host, name: string): Promise<LinkFacts | undefined> {
  const place = `/sys/class/net/${name}`
  const [mtu, state, device] = await Promise.all([
    host.text(`${place}/mtu`),
    host.text(`${place}/operstate`),
    host.real(`${place}/device`),
  ])
  if (mtu === undefined || !/^\d+$/.test(mtu.trim())) return undefined
  // Many made by software say `unknown` all their life.
  const isUp = state?.trim() !== 'down'
  return { name, mtu: Number(mtu), isUp, isReal: device !== undefined }
}

// Source: proc_net_route: a destination and a mask of zeros.
function defaultsOf(table: string): readonly string[] {
  return table.split('\n').flatMap((line) => {
    const [device, destination, , , , , , mask] = line.split(/\s+/)
    return device && destination === '00000000' && mask === '00000000' ? [device] : []
  })
}

function defaultsOfV6(table: string): readonly string[] {
  return table.split('\n').flatMap((line) => {
    const [destination = '', length, ...rest] = line.trim().split(/\s+/)
    const device = rest.at(-1)
    const isDefault = /^0{32}$/.test(destination) && length === '00'
    return isDefault && device !== undefined && device !== 'lo' ? [device] : []
  })
}

const destinationsMax = 8

/** What the kernel knows of the way to each, which it learned by earlier calls. Limits: 1.5 s each. */
export async function readPaths(
  host: Host,
  destinations: readonly Destination[],
): Promise<readonly PathFacts[]> {
  const found = await Promise.all(
    destinations.slice(0, destinationsMax).map(async ({ service, hostname }) => {
      const name = hostname.replace(/^\[(.*)\]$/, '$1')
      const address = (await within(lookup(name), 1500))?.address
      if (address === undefined) return undefined
      const route = await host.output('ip', ['-o', 'route', 'get', address])
      const device = /\bdev (\S+)/.exec(route ?? '')?.[1]
      if (device === undefined) return undefined
      const mtu = /\bmtu (?:lock )?(\d+)/.exec(route ?? '')?.[1]
      return { service, address, device, mtu: mtu === undefined ? undefined : Number(mtu) }
    }),
  )
  return found.filter((path) => path !== undefined)
}
