// Checks the kernel's version and the settings of its network that the server relies on.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { shownSize } from '../wording.ts'

/** Settings as the kernel tells them; undefined where it has no such setting, or does not tell. */
export interface KernelFacts {
  /** Such as `6.1.0-13-amd64`. */
  readonly release: string | undefined
  readonly somaxconn: string | undefined
  readonly tcpMigrateReq: string | undefined
  readonly tcpTwReuse: string | undefined
  /** Three numbers: least, at first, most. */
  readonly tcpRmem: string | undefined
  readonly tcpWmem: string | undefined
  readonly conntrackMax: string | undefined
  readonly conntrackCount: string | undefined
  /** Whether a listener serves TLS with the uws transport. */
  readonly hasTlsOnUws: boolean
  /** Whether other services are asked, over connections that the server opens. */
  readonly asksOthers: boolean
  readonly listensOnTcp: boolean
  /** Connections that all processes together may have. */
  readonly connectionsMax: number
}

const leastRelease = [5, 4] as const
const leastQueue = 1024
const leastBuffer = 4 * 1024 * 1024
const fullShare = 0.8

const settingsFile = '/etc/sysctl.d/80-keelson.conf'

export const kernelRows = {
  kernel: {
    title: 'kernel',
    why: 'older ones lack what the server and Node.js were tested with',
    link: 'tuning.md#kernel',
    warning: 'older than 5.4',
    atStart: true,
  },
  somaxconn: {
    title: 'net.core.somaxconn',
    why: 'connections that come in a burst and find the queue full wait a second or more for their next attempt',
    link: 'tuning.md#kernel',
    warning: 'below 1024, and a listener is on TCP',
  },
  'tcp-migrate-req': {
    title: 'net.ipv4.tcp_migrate_req',
    why: 'each renewal of the certificate resets clients that are just connecting',
    link: 'tuning.md#kernel',
    warning: 'not 1, and a listener serves TLS on uws',
    atStart: true,
  },
  'tcp-tw-reuse': {
    title: 'net.ipv4.tcp_tw_reuse',
    why: 'ports of connections that were closed stay taken for a minute, and calls to other services can run out of them',
    link: 'docs/doctor.md#kernel-and-network',
    advice: '0, and other services are asked',
  },
  'tcp-buffers': {
    title: 'TCP buffers',
    why: 'one connection over a long way moves no more than a buffer in each round trip',
    link: 'tuning.md#network',
    advice: 'the most of `tcp_rmem` or `tcp_wmem` is below 4 MiB, and a listener is on TCP',
  },
  conntrack: {
    title: 'connection tracking',
    why: 'when its table is full the kernel drops new connections',
    link: 'tuning.md#several-processes-one-address',
    warning: 'its table is full to four fifths',
    advice: 'its table has no place for four times the connections that the server may have',
  },
} as const

const say = sayingsOf(kernelRows)

export function checkKernel(facts: KernelFacts): readonly Finding[] {
  return [
    checkRelease(facts.release),
    ...(facts.listensOnTcp ? [checkQueue(facts.somaxconn), checkBuffers(facts)] : []),
    ...(facts.hasTlsOnUws ? [checkMigration(facts.tcpMigrateReq)] : []),
    ...(facts.asksOthers ? [checkReuse(facts.tcpTwReuse)] : []),
    ...checkTracking(facts),
  ]
}

function checkRelease(release: string | undefined): Finding {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release ?? '') ?? []
  if (release === undefined || major === undefined) {
    return say.unknown('kernel', 'it does not tell its version')
  }
  const [leastMajor, leastMinor] = leastRelease
  const isOld =
    Number(major) < leastMajor || (Number(major) === leastMajor && Number(minor) < leastMinor)
  if (!isOld) return say.ok('kernel', `Linux ${release}`)
  return say.warning('kernel', `Linux ${release} is older than 5.4`, {
    remedy: 'update the system to a kernel that is maintained',
  })
}

function checkQueue(written: string | undefined): Finding {
  const length = numberOf(written)
  if (length === undefined) return say.unknown('somaxconn', 'it cannot be read')
  if (length >= leastQueue) return say.ok('somaxconn', `it is ${length}`)
  return say.warning('somaxconn', `it is ${length}, below ${leastQueue}`, {
    remedy: `raise it, and write it to ${settingsFile}`,
    command: 'sysctl -w net.core.somaxconn=4096',
  })
}

function checkMigration(written: string | undefined): Finding {
  if (written === '1') return say.ok('tcp-migrate-req', 'it is 1')
  if (written === undefined) {
    return say.warning('tcp-migrate-req', 'this kernel does not have it, or does not tell', {
      remedy: 'use Linux 5.14 or later, or server.transport = "node"',
    })
  }
  return say.warning('tcp-migrate-req', `it is ${written}`, {
    remedy: 'set it, and install systemd/sysctl.d/keelson.conf',
    command: 'sysctl -w net.ipv4.tcp_migrate_req=1',
  })
}

function checkReuse(written: string | undefined): Finding {
  const value = numberOf(written)
  if (value === undefined) return say.unknown('tcp-tw-reuse', 'it cannot be read')
  // 2, the default, is for loopback alone, where most such services are.
  if (value !== 0) return say.ok('tcp-tw-reuse', `it is ${value}`)
  return say.advice('tcp-tw-reuse', 'it is 0', {
    remedy: `set it, and write it to ${settingsFile}`,
    command: 'sysctl -w net.ipv4.tcp_tw_reuse=1',
  })
}

function checkBuffers({ tcpRmem, tcpWmem }: KernelFacts): Finding {
  const most = (written: string | undefined): number | undefined =>
    numberOf(written?.trim().split(/\s+/)[2])
  const received = most(tcpRmem)
  const sent = most(tcpWmem)
  if (received === undefined || sent === undefined) {
    return say.unknown('tcp-buffers', 'net.ipv4.tcp_rmem and tcp_wmem cannot be read')
  }
  const detail = `they grow to ${shownSize(received)} for what comes in, ${shownSize(sent)} for what goes out`
  if (Math.min(received, sent) >= leastBuffer) return say.ok('tcp-buffers', detail)
  return say.advice('tcp-buffers', detail, {
    remedy: `raise both, and write them to ${settingsFile}`,
    command:
      'sysctl -w net.ipv4.tcp_rmem="4096 131072 16777216" net.ipv4.tcp_wmem="4096 16384 16777216"',
  })
}

function checkTracking(facts: KernelFacts): readonly Finding[] {
  const most = numberOf(facts.conntrackMax)
  // Absent where no rule of the firewall needs it.
  if (most === undefined || most === 0) return []
  const count = numberOf(facts.conntrackCount)
  const wanted = 4 * facts.connectionsMax
  const fix = {
    remedy: `raise it, and write it to ${settingsFile}`,
    command: `sysctl -w net.netfilter.nf_conntrack_max=${Math.max(262_144, 2 * most, wanted)}`,
  }
  const detail = `${count ?? 'an unknown number'} of ${most} entries are taken`
  if (count !== undefined && count >= most * fullShare)
    return [say.warning('conntrack', detail, fix)]
  if (most < wanted) {
    const short = `${most} entries for up to ${facts.connectionsMax} connections, and a closed one stays for two minutes`
    return [say.advice('conntrack', short, fix)]
  }
  return [say.ok('conntrack', detail)]
}

function numberOf(written: string | undefined): number | undefined {
  return written !== undefined && /^\d{1,15}$/.test(written.trim()) ? Number(written) : undefined
}
