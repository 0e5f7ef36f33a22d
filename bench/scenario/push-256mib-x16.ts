// Sixteen large layers at a time: several clients that push at once, and slabs that are shared.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

export const push256MiBx16: Scenario = pushScenario({
  name: 'push-256mib-x16',
  asks: 'Push 256 MiB, 16 streams (POST, PATCH, PUT)',
  unit: 'MB/s',
  size: 256 * MIB,
  connections: 16,
  flow: 'docker',
  // Each stream sends at least one blob, so that a round has 4 GiB, and one is enough for compilers.
  warmUp: false,
  expected: [{ against: 'docker-registry', atLeast: 3 }],
})
