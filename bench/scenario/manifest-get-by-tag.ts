// Pulling by tag: the first request of every pull, and the headline figure.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const manifestGetByTag: Scenario = requestScenario({
  name: 'manifest-get-by-tag',
  asks: 'Manifest GET by tag (1.2 kB)',
  method: 'GET',
  target: 'tag',
  edge: 'plain',
  expected: [
    { against: 'nginx-static', atLeast: 1.15 },
    { against: 'bare-uws', atLeast: 0.75 },
    { against: 'docker-registry', atLeast: 50 },
  ],
})
