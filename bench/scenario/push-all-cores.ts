// Large layers into a server that has every core of the machine, beside the load.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

const LAYER = { unit: 'MB/s', size: 256 * MIB, flow: 'docker', cores: 'all' } as const

export const push256MiBx1AllCores: Scenario = pushScenario({
  ...LAYER,
  name: 'push-256mib-x1-all-cores',
  asks: 'Push 256 MiB, 1 stream, server on all cores',
  connections: 1,
  expected: [
    { against: 'openssl-sha256', atLeast: 0.7 },
    { against: 'docker-registry', atLeast: 3 },
  ],
})

export const push256MiBx4AllCores: Scenario = pushScenario({
  ...LAYER,
  name: 'push-256mib-x4-all-cores',
  asks: 'Push 256 MiB, 4 streams, server on all cores',
  connections: 4,
  expected: [{ against: 'docker-registry', atLeast: 3 }],
})
