// One large layer, streamed as Docker does: the hash of one stream is the limit.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

export const push256MiBx1: Scenario = pushScenario({
  name: 'push-256mib-x1',
  asks: 'Push 256 MiB, 1 stream (POST, PATCH, PUT)',
  unit: 'MB/s',
  size: 256 * MIB,
  connections: 1,
  flow: 'docker',
  expected: [
    { against: 'openssl-sha256', atLeast: 0.45 },
    { against: 'docker-registry', atLeast: 2.5, store: 'disk' },
    { against: 'docker-registry', atLeast: 1.5, store: 'memory' },
  ],
})
