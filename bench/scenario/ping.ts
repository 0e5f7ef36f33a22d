// The first request of every client: is this a registry, and may I talk to it?

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const ping: Scenario = requestScenario({
  name: 'ping',
  asks: 'GET /v2/',
  method: 'GET',
  target: 'ping',
  edge: 'plain',
  expected: [],
})
