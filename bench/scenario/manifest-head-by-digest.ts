// Is this manifest here? By its digest, as tools ask that copy images.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const manifestHeadByDigest: Scenario = requestScenario({
  name: 'manifest-head-by-digest',
  asks: 'Manifest HEAD by digest',
  method: 'HEAD',
  target: 'digest',
  edge: 'plain',
  expected: [],
})
