// What every push asks for each layer before it sends it, and every pull-through cache all day.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const blobHead: Scenario = requestScenario({
  name: 'blob-head',
  asks: 'Blob HEAD (existence check)',
  method: 'HEAD',
  target: 'blob',
  edge: 'plain',
  expected: [{ against: 'nginx-static', atLeast: 1.15 }],
})
