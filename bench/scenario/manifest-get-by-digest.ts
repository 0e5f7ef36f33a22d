// Pulling by digest: immutable bytes, so nothing but the digest need be looked up.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const manifestGetByDigest: Scenario = requestScenario({
  name: 'manifest-get-by-digest',
  asks: 'Manifest GET by digest (1.2 kB)',
  method: 'GET',
  target: 'digest',
  edge: 'plain',
  expected: [],
})
