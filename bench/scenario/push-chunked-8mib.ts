// One large layer in pieces, as clients send it that can resume: each PATCH says where it belongs.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

export const pushChunked8MiB: Scenario = pushScenario({
  name: 'push-chunked-8mib',
  asks: 'Push 256 MiB, 1 stream (POST, 32 × PATCH of 8 MiB, PUT)',
  unit: 'MB/s',
  size: 256 * MIB,
  connections: 1,
  flow: 'pieces',
  expected: [
    { against: 'docker-registry', atLeast: 2.5, store: 'disk' },
    { against: 'docker-registry', atLeast: 1.5, store: 'memory' },
  ],
})
