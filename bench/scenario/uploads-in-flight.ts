// Memory: 64 bodies of 64 MiB, each held open before its last block until all 64 are that far.

import { EMPTY, MIB, REPOSITORY } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { push } from '../load/drive.ts'
import { peakRssBytes } from '../usage.ts'

const UPLOADS = 64
const SIZE = 64 * MIB

export const uploadsInFlight: Scenario = {
  name: 'uploads-in-flight',
  asks: 'Peak RSS with 64 uploads of 64 MiB in flight',
  unit: 'MiB',
  edge: 'plain',
  stores: ['disk'],
  references: ['docker-registry'],
  content: () => EMPTY,
  round: async (server, _content, context) => {
    const order = {
      ...{ port: server.port, repository: REPOSITORY, size: SIZE, flow: 'docker' as const },
      ...{ connections: UPLOADS, seconds: 0, bytesMax: UPLOADS * SIZE },
      ...{ allInFlight: true, announce: false },
    }
    const result = await push(order, context)
    return { ...result, figure: peakRssBytes(server.pid) / MIB, driver: 'node socket' }
  },
  writes: true,
  // A peak is not a rate: one round on a fresh server says it all.
  warmUp: false,
  roundsMax: 1,
  storeBytesMax: UPLOADS * SIZE,
  expected: [{ atMost: 300 }],
}
