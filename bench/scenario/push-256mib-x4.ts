// Four large layers at a time, streamed as Docker does by default for one image.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

export const push256MiBx4: Scenario = pushScenario({
  name: 'push-256mib-x4',
  asks: 'Push 256 MiB, 4 streams (POST, PATCH, PUT)',
  unit: 'MB/s',
  size: 256 * MIB,
  connections: 4,
  flow: 'docker',
  expected: [{ against: 'docker-registry', atLeast: 3 }],
})
