// Small layers in containerd's two requests.

import { KIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pushScenario } from '../scenario-kind.ts'

export const push100KiBMonolithic: Scenario = pushScenario({
  name: 'push-100kib-monolithic',
  asks: 'Push 100 KiB, 16 connections (POST, PUT)',
  unit: 'push/s',
  size: 100 * KIB,
  connections: 16,
  flow: 'monolithic',
  expected: [],
})
