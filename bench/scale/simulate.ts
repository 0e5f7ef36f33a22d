// What a host, and a fleet of nodes, would see: the paper plan of docs/scale.md in figures.
//
// node dist/bench/scale/print-plan.js
// Deterministic: measured service times, assumed hardware, one seed. test/bench/simulate.test.ts holds
// docs/scale.md to what this prints.

import { randomFrom } from '../../test/support/dice.ts'
import {
  bottlenecks,
  type Capacity,
  type Host,
  type Pull,
  type Push,
  pullCapacity,
  pullCpu,
  pushCapacity,
} from './capacity.ts'
import { simulateStorm } from './storm.ts'

const gigabyte = 1e9
const gigabit = 1e9 / 8
const seed = 8

// Assumed, not measured: what data sheets of such hosts say.
const HOSTS: readonly Host[] = [
  {
    ...{ name: '2 cores, 10 Gbit/s', cores: 2, nic: 10 * gigabit, memory: 20 * gigabyte },
    ...{ diskRead: 0.5 * gigabyte, diskWrite: 0.3 * gigabyte, sync: 1e-3 },
  },
  {
    ...{ name: '16 cores, 25 Gbit/s', cores: 16, nic: 25 * gigabit, memory: 100 * gigabyte },
    ...{ diskRead: 5 * gigabyte, diskWrite: 2 * gigabyte, sync: 5e-5 },
  },
  {
    ...{ name: '64 cores, 100 Gbit/s', cores: 64, nic: 100 * gigabit, memory: 250 * gigabyte },
    ...{ diskRead: 12 * gigabyte, diskWrite: 6 * gigabyte, sync: 3e-5 },
  },
]

// An image of six layers, as clients fetch it: what they ask before, a manifest, a config and the layers.
const usual: Pull = {
  ...{ imageBytes: gigabyte, requests: 10, connections: 3, tls: true, cached: 0.95 },
  redirect: false,
}
const PULLS: readonly { readonly name: string; readonly pull: Pull }[] = [
  { name: 'pull of 1 GB, TLS', pull: usual },
  { name: 'pull of 1 GB, plain', pull: { ...usual, tls: false } },
  { name: 'pull of 1 GB, TLS, cold', pull: { ...usual, cached: 0 } },
  { name: 'pull of 20 MB, TLS', pull: { ...usual, imageBytes: 2e7, cached: 1 } },
  {
    name: 'look for a new tag, TLS',
    pull: { ...usual, imageBytes: 0, requests: 2, connections: 1 },
  },
  { name: 'pull redirected, TLS', pull: { ...usual, redirect: true, connections: 1 } },
]
const PUSHES: readonly { readonly name: string; readonly push: Push }[] = [
  { name: 'push of 1 GB', push: { imageBytes: gigabyte, requests: 20 } },
  { name: 'push of 2 MB', push: { imageBytes: 2e6, requests: 20 } },
]

function shown(rate: number): string {
  if (rate >= 1000) return `${Math.round(rate / 100) / 10} k`
  return rate >= 100 ? String(Math.round(rate)) : rate.toPrecision(2)
}

function whole(amount: number): string {
  return amount < 10 ? amount.toFixed(1) : Math.round(amount).toLocaleString('en-US')
}

function row(name: string, capacity: Capacity): string {
  const parts = bottlenecks(capacity).filter(([, rate]) => Number.isFinite(rate))
  const told = parts.slice(0, 3).map(([part, rate]) => `${part} ${shown(rate)}`)
  return `  ${name.padEnd(26)}${told.join(', ')}`
}

function hostLines(host: Host): string[] {
  return [
    `${host.name}: at most so many a second, by what is used up first`,
    ...PULLS.map(({ name, pull }) => row(name, pullCapacity(host, pull))),
    ...PUSHES.map(({ name, push }) => row(name, pushCapacity(host, push))),
  ]
}

interface Way {
  readonly name: string
  readonly hosts: number
  readonly peerCopies?: number
  readonly redirect?: true
}

const WAYS: readonly Way[] = [
  { name: '1 host', hosts: 1 },
  { name: '4 hosts', hosts: 4 },
  { name: '16 hosts', hosts: 16 },
  { name: '1 host, peers', hosts: 1, peerCopies: 3 },
  { name: '1 host, redirect', hosts: 1, redirect: true },
]

const stormImage = 2 * gigabyte
const stormHost = HOSTS[2]
// What a content network gives all nodes together.
const elsewhere = 125 * gigabyte

function stormLine({ name, hosts, peerCopies, redirect }: Way, nodes: number): string {
  if (stormHost === undefined) throw new Error('there is no host')
  const isRedirected = redirect === true
  // Each host reads the image once; all other nodes find it in the page cache.
  const cached = 1 - hosts / nodes
  const pull: Pull = { ...usual, imageBytes: stormImage, cached, redirect: isRedirected }
  const [[part, rate] = ['', Number.NaN]] = bottlenecks(pullCapacity(stormHost, pull))
  const small = pullCpu({ ...pull, redirect: true })
  const result = simulateStorm(
    {
      ...{ nodes, imageBytes: stormImage, spread: 10, nodeDown: 10 * gigabit },
      nodeUp: 5 * gigabit,
      source: isRedirected ? elsewhere : rate * stormImage * hosts,
      // The small requests of all nodes share the cores of the hosts.
      preamble: (small * nodes) / (stormHost.cores * hosts),
      ...(peerCopies === undefined ? {} : { peerCopies }),
    },
    randomFrom(seed),
  )
  const { p50, p99, last, registryBytes } = result
  const seconds = [p50, p99, last].map((one) => `${whole(one)} s`.padStart(11)).join('')
  const sent = isRedirected ? '0' : whole(registryBytes / gigabyte)
  return `  ${name.padEnd(18)}${seconds}${`${sent} GB`.padStart(11)}  ${isRedirected ? 'elsewhere' : part}`
}

function stormLines(nodes: number): string[] {
  const count = nodes.toLocaleString('en-US')
  const head = ['half', '99 of 100', 'last'].map((one) => one.padStart(11)).join('')
  return [
    `${count} nodes pull 2 GB within 10 s, hosts of 64 cores and 100 Gbit/s, TLS`,
    `  ${''.padEnd(18)}${head}${'sent'.padStart(11)}  first used up`,
    ...WAYS.map((way) => stormLine(way, nodes)),
  ]
}

/** All that docs/scale.md quotes. */
export function report(): string {
  const blocks = [...HOSTS.map(hostLines), ...[100, 1000, 10_000].map(stormLines)]
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`
}
