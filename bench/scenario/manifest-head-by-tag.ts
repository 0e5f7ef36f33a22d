// What containerd asks before each pull, and what "is there something newer" costs.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const manifestHeadByTag: Scenario = requestScenario({
  name: 'manifest-head-by-tag',
  asks: 'Manifest HEAD by tag',
  method: 'HEAD',
  target: 'tag',
  edge: 'plain',
  expected: [],
})
