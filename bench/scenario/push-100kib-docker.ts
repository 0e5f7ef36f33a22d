// Small layers in Docker's three requests: the cost of sessions and of durable commits.

import { KIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

export const push100KiBDocker: Scenario = pushScenario({
  name: 'push-100kib-docker',
  asks: 'Push 100 KiB, 16 connections (POST, PATCH, PUT)',
  unit: 'push/s',
  size: 100 * KIB,
  connections: 16,
  flow: 'docker',
  expected: [{ against: 'docker-registry', atLeast: 5 }],
})
