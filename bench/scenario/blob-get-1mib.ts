// A layer of common size from the page cache, for many clients at a time.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { pullScenario } from '../scenario-kind.ts'

export const blobGet1MiB: Scenario = pullScenario({
  name: 'blob-get-1mib',
  asks: 'Blob GET, 1 MiB, 16 connections',
  size: MIB,
  connections: 16,
  expected: [],
})
