// What containerd and caches do that resume or read ahead: open-ended ranges, dropped when enough
// has come. And whole downloads that a user or a time limit ends early.

import { MIB, oneBlob } from '../content.ts'
import type { Expectation, Scenario } from '../contract.ts'
import type { AbortOrder } from '../load/abort-driver.ts'
import { drive } from '../load/drive.ts'
import { ROUNDS_ANY } from '../scenario-kind.ts'

const SIZE = 256 * MIB
const CLIENTS = 16
const READ_BYTES = 4 * MIB

function abortScenario(
  name: string,
  asks: string,
  ranges: boolean,
  expected: readonly Expectation[],
): Scenario {
  return {
    name,
    asks,
    unit: 'req/s',
    edge: 'plain',
    stores: ['disk'],
    references: ['nginx-static', 'docker-registry'],
    content: () => oneBlob(SIZE),
    round: async (server, content, context) => {
      const [blob] = content.blobs
      if (blob === undefined) throw new Error('this content has no blob')
      const order: AbortOrder = {
        ...{ port: server.port, path: `/v2/${content.repository}/blobs/${blob.digest}` },
        ...{ size: SIZE, readBytes: READ_BYTES, ranges, clients: CLIENTS },
        seconds: context.seconds,
      }
      const result = await drive('abort-driver', order, context)
      return { ...result, figure: result.requests / result.seconds, driver: 'node socket' }
    },
    writes: false,
    warmUp: true,
    roundsMax: ROUNDS_ANY,
    storeBytesMax: SIZE,
    expected,
  }
}

export const rangesAbort: Scenario = abortScenario(
  'ranges-abort',
  'Open-ended ranges of 256 MiB, dropped after 4 MiB, 16 clients',
  true,
  [{ against: 'nginx-static', atLeast: 1 }],
)

export const pullsAbort: Scenario = abortScenario(
  'pulls-abort',
  'Blob GET of 256 MiB, dropped after 4 MiB, 16 clients',
  false,
  [{ against: 'nginx-static', atLeast: 1 }],
)
