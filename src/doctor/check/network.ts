// Checks who has the addresses that the configuration listens on, and how large packets may be.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { counted, quoted } from '../wording.ts'

/** What a listener of the configuration meets. */
export interface ListenerFacts {
  /** Such as `0.0.0.0 port 443`, or the path of a socket. */
  readonly place: string
  /** Those who have it now. */
  readonly holders: readonly Holder[]
  /** False: no interface has that address. */
  readonly isHere: boolean
  /** A port for those with a capability, which whoever asks does not have. */
  readonly isPrivileged: boolean
  /** What is at the path of a unix socket and is no socket. */
  readonly isBlocked: boolean
}

export interface Holder {
  /** Undefined where this user may not see it. */
  readonly pid: number | undefined
  readonly name: string | undefined
  /** The server of this very configuration. */
  readonly isOurs: boolean
}

export interface LinkFacts {
  readonly name: string
  readonly mtu: number
  readonly isUp: boolean
  /** It is a device, and not made by software. */
  readonly isReal: boolean
}

export interface PathFacts {
  /** What was asked about, such as `auth.ldap.corp`. */
  readonly service: string
  readonly address: string
  readonly device: string
  /** Of the route, or learned from the way; undefined: that of the device. */
  readonly mtu: number | undefined
}

export interface NetworkFacts {
  readonly listeners: readonly ListenerFacts[]
  readonly links: readonly LinkFacts[]
  /** Names of those that default routes go by. */
  readonly uplinks: readonly string[]
  readonly paths: readonly PathFacts[]
  /** net.ipv4.tcp_mtu_probing. */
  readonly mtuProbing: string | undefined
}

const ethernetMtu = 1500

export const networkRows = {
  listen: {
    title: 'listener',
    why: 'a server that cannot have an address of its configuration does not start',
    link: 'docs/tls.md#listeners',
    error:
      'another process has the address, no interface has it, or a file is in the place of a unix socket',
    advice: 'a port below `net.ipv4.ip_unprivileged_port_start`, and no right to it here',
  },
  mtu: {
    title: 'MTU',
    why: 'where packets are larger than what the way takes and nobody may say so, logins work and pushes hang',
    link: 'tuning.md#network',
    advice:
      'the interface of a default route, or the route to a service, takes other packets than 1500 bytes, and `net.ipv4.tcp_mtu_probing` is 0',
  },
} as const

const say = sayingsOf(networkRows)

export function checkNetwork(facts: NetworkFacts): readonly Finding[] {
  return [...facts.listeners.map(checkListener), checkMtu(facts)]
}

function checkListener(facts: ListenerFacts): Finding {
  const { place, holders, isHere, isPrivileged, isBlocked } = facts
  if (isBlocked) {
    return say.error(
      'listen',
      'a file that is no socket is there',
      {
        remedy: 'move it away',
        command: `mv ${quoted(place)} ${quoted(`${place}.old`)}`,
      },
      place,
    )
  }
  const others = holders.filter(({ isOurs }) => !isOurs)
  const [other] = others
  if (other !== undefined) {
    const named = others.map(shownHolder).join(', ')
    return say.error(
      'listen',
      `taken by ${named}`,
      {
        remedy: 'stop that process, or choose another port',
        command: other.pid === undefined ? 'ss -ltnp' : `ps -o pid,user,args -p ${other.pid}`,
      },
      place,
    )
  }
  if (holders.length > 0) {
    return say.ok(
      'listen',
      `the running server has it (${holders.map(shownHolder).join(', ')})`,
      place,
    )
  }
  if (!isHere) {
    return say.error(
      'listen',
      'no interface of this machine has that address',
      {
        remedy: 'correct server.bind_address, or give the address to an interface',
        command: 'ip -brief address',
      },
      place,
    )
  }
  if (isPrivileged) {
    return say.advice(
      'listen',
      'it is free; this user may not take a port so low',
      {
        remedy:
          'the systemd unit gives the right (AmbientCapabilities=CAP_NET_BIND_SERVICE); without it choose a higher port',
      },
      place,
    )
  }
  return say.ok('listen', 'it is free', place)
}

function shownHolder({ pid, name }: Holder): string {
  return pid === undefined
    ? 'a process that this user may not see'
    : `${name ?? 'unnamed'}, pid ${pid}`
}

function checkMtu({ links, uplinks, paths, mtuProbing }: NetworkFacts): Finding {
  const up = links.filter(({ name, isUp }) => isUp && name !== 'lo')
  const uplink = up.filter(({ name }) => uplinks.includes(name))
  const odd = uplink.filter(({ mtu }) => mtu !== ethernetMtu)
  const narrow = paths.filter(({ device, mtu }) => {
    const own = links.find(({ name }) => name === device)?.mtu
    return mtu !== undefined && own !== undefined && mtu < own
  })
  const shown = (uplink.length > 0 ? uplink : up)
    .map(({ name, mtu }) => `${name} ${mtu}`)
    .join(', ')
  if (up.length === 0) return say.unknown('mtu', 'no interface is to be seen')
  if (
    (odd.length === 0 && narrow.length === 0) ||
    (mtuProbing !== undefined && mtuProbing !== '0')
  ) {
    const software = up.filter(({ isReal, mtu }) => !isReal && mtu < ethernetMtu)
    const more =
      software.length > 0
        ? `; ${counted(software.length, 'tunnel or bridge', 'tunnels or bridges')} below 1500`
        : ''
    return say.ok('mtu', `${shown}${more}`)
  }
  const ways = narrow.map(({ service, address, mtu }) => `${mtu} to ${address} (${service})`)
  const detail = [...odd.map(({ name, mtu }) => `${name} has ${mtu}`), ...ways].join(', ')
  return say.advice('mtu', detail, {
    remedy:
      'let the kernel find out what the way takes, and write it to /etc/sysctl.d/80-keelson.conf',
    command: 'sysctl -w net.ipv4.tcp_mtu_probing=1',
  })
}
