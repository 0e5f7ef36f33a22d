// What one host answers: every core, a process for each, policy, logins and access log on.

import { availableParallelism } from 'node:os'
import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

const processes: number = availableParallelism()

export const requestsAllCores: Scenario = requestScenario({
  name: 'requests-all-cores',
  asks: `Manifest GET by tag, Bearer, 10 rules, access log, ${processes} processes on all cores`,
  method: 'GET',
  target: 'tag',
  edge: 'plain',
  guard: 'bearer',
  cores: 'all',
  processes,
  references: [],
  expected: [{ figureAtLeast: 10_000 }],
})
