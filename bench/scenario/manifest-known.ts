// What clients ask that poll a tag and have its manifest: has it moved?

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const manifestKnown: Scenario = requestScenario({
  name: 'manifest-known',
  asks: 'Manifest GET by tag that is answered 304',
  method: 'GET',
  target: 'tag',
  isKnown: true,
  edge: 'plain',
  // The others compare with ETags of their own, or not at all.
  references: ['docker-registry', 'distribution'],
  expected: [],
})
