// A large layer from the page cache. nginx's sendfile copies nothing, so it is a hard yardstick.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pullScenario } from '../scenario-kind.ts'

export const blobGet256MiB: Scenario = pullScenario({
  name: 'blob-get-256mib',
  asks: 'Blob GET, 256 MiB, 1 connection',
  size: 256 * MIB,
  connections: 1,
  expected: [{ against: 'nginx-static', atLeast: 0.75 }],
})
