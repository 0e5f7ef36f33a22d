// Layers that nobody pulled for a while: they come from the disk.

import { KIB, MIB, PayloadSource, REPOSITORY } from '../content.ts'
import type { ReferenceName, Scenario } from '../contract.ts'
import { evict, pullEach } from '../load/cold.ts'
import { ROUNDS_ANY } from '../scenario-kind.ts'

export interface ColdScenario {
  readonly name: string
  /** Of each blob. Units: bytes. */
  readonly size: number
  readonly sizeText: string
  readonly blobs: number
  /** Pulled at a time. */
  readonly lanes: number
  readonly references: readonly ReferenceName[]
}

/** How many MB of blobs that are not in the page cache per second, each pulled once. */
export function coldScenario(wanted: ColdScenario): Scenario {
  const { name, size, sizeText, blobs, lanes, references } = wanted
  return {
    name,
    asks: `Pull ${blobs} blobs of ${sizeText} that are not in the page cache, ${lanes} at a time`,
    unit: 'MB/s',
    edge: 'plain',
    stores: ['disk'],
    references,
    content: () => {
      const source = new PayloadSource(size)
      const payloads = Array.from({ length: blobs }, () => source.next())
      return { repository: REPOSITORY, blobs: payloads, manifests: [] }
    },
    round: async (server, content) => {
      const root = server.blobRoot ?? server.contentRoot
      if (root === undefined) throw new Error(`where are the blobs of ${server.name}?`)
      await evict(root)
      const paths = content.blobs.map(({ digest }) => `/v2/${content.repository}/blobs/${digest}`)
      const result = await pullEach(server.port, paths, size, lanes)
      return { ...result, figure: result.bytes / 1e6 / result.seconds, driver: 'node http' }
    },
    writes: false,
    warmUp: true,
    roundsMax: ROUNDS_ANY,
    storeBytesMax: blobs * size,
    expected: [],
  }
}

const REFERENCES = ['nginx-static', 'docker-registry'] as const

export const coldCache256KiB: Scenario = coldScenario({
  name: 'cold-cache-256kib',
  size: 256 * KIB,
  sizeText: '256 KiB',
  blobs: 256,
  lanes: 32,
  references: REFERENCES,
})

export const coldCache8MiB: Scenario = coldScenario({
  name: 'cold-cache-8mib',
  size: 8 * MIB,
  sizeText: '8 MiB',
  blobs: 24,
  lanes: 8,
  references: REFERENCES,
})
