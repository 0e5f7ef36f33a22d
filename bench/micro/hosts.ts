// One registry on one, two and three hosts: pulls of manifests and pushes of small blobs by way of nginx, which deals the requests
// out in turn, interleaved. All share the cores of this machine, PostgreSQL and the bucket too: what a further host adds
// is not to be seen here, but what it costs is. Needs what the tests of hosts need.
//
// node dist/bench/micro/hosts.js [seconds (3)] [rounds (3)]

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBalancer } from '../../test/hosts/balancer.ts'
import { Site } from '../../test/hosts/site.ts'
import { digestOf, RegistryClient } from '../../test/support/registry-client.ts'
import { median } from '../statistics.ts'
import { cpuSeconds } from '../usage.ts'

const LANES = 16
const REPOSITORY = 'bench/hosts'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

const [seconds = 3, rounds = 3] = process.argv.slice(2).map(Number)

interface Crew {
  readonly client: RegistryClient
  readonly pids: readonly number[]
  readonly close: () => Promise<void>
}

interface Measured {
  readonly perSecond: number
  /** Of all hosts' processes. */
  readonly cpuMs: number
}

async function inLanes(crew: Crew, act: () => Promise<void>): Promise<Measured> {
  const cpu = (): number => crew.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const [begunAt, cpuBefore] = [performance.now(), cpu()]
  const until = begunAt + seconds * 1000
  let done = 0
  const lane = async (): Promise<void> => {
    for (; performance.now() < until; done++) await act()
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const perSecond = (done * 1000) / (performance.now() - begunAt)
  return { perSecond, cpuMs: ((cpu() - cpuBefore) * 1000) / done }
}

async function push({ client }: Crew, bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes)
  const begun = await client.call('POST', `/v2/${REPOSITORY}/blobs/uploads/`)
  const location = begun.headers['location'] ?? ''
  const headers = { 'Content-Type': 'application/octet-stream' }
  const sent = await client.call('PATCH', location, { body: bytes, headers })
  const { status } = await client.finish(sent.headers['location'] ?? '', digest)
  if (status !== 201) throw new Error(`a push ended with ${status}`)
  return digest
}

async function putManifest(crew: Crew): Promise<void> {
  const config = Buffer.from('{}')
  const digest = await push(crew, config)
  const descriptor = { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: config.length }
  const manifest = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: descriptor, layers: [] }
  const { answer } = await crew.client.putManifest(
    REPOSITORY,
    'latest',
    Buffer.from(JSON.stringify(manifest)),
    MANIFEST_TYPE,
  )
  if (answer.status !== 201) throw new Error(`a manifest ended with ${answer.status}`)
}

async function pull({ client }: Crew): Promise<void> {
  const { status } = await client.get(`/v2/${REPOSITORY}/manifests/latest`, {
    Accept: MANIFEST_TYPE,
  })
  if (status !== 200) throw new Error(`a pull ended with ${status}`)
}

const site = await Site.open({ isOnCables: false })
const crews: Crew[] = []
const counts = [1, 2, 3] as const
try {
  for (const count of counts) await site.add(`host-${count}`)
  await Promise.all(site.nodes.map((node) => node.start()))
  for (const count of counts) {
    const nodes = site.nodes.slice(0, count)
    const dir = await mkdtemp(join(tmpdir(), 'keel-front-'))
    const balancer = await startBalancer(dir, nodes)
    const client = new RegistryClient(balancer.url)
    const close = async (): Promise<void> => {
      client.close()
      await balancer.stop()
      await rm(dir, { recursive: true, force: true })
    }
    crews.push({ client, close, pids: nodes.map(({ product }) => product) })
  }
  const [first] = crews
  if (first === undefined) throw new Error('there is no host')
  await putManifest(first)
  const results = crews.map(() => ({ pulls: [] as Measured[], pushes: [] as Measured[] }))
  for (let round = 0; round <= rounds; round++) {
    for (const [index, crew] of crews.entries()) {
      const pulls = await inLanes(crew, () => pull(crew))
      const pushes = await inLanes(crew, async () => {
        await push(crew, randomBytes(100_000))
      })
      // The first one warms up.
      if (round === 0) continue
      results[index]?.pulls.push(pulls)
      results[index]?.pushes.push(pushes)
    }
  }
  const of = (measured: readonly Measured[]): string => {
    const rate = median(measured.map(({ perSecond }) => perSecond))
    const cpu = median(measured.map(({ cpuMs }) => cpuMs))
    return `${rate.toFixed(0)} a second, ${cpu.toFixed(2)} ms of CPU each`
  }
  for (const [index, { pulls, pushes }] of results.entries()) {
    const hosts = `${index + 1} host${index === 0 ? '' : 's'}`
    process.stdout.write(`${hosts}: manifests ${of(pulls)}; pushes of 100 kB ${of(pushes)}\n`)
  }
} finally {
  for (const crew of crews) await crew.close()
  await site.close()
}
