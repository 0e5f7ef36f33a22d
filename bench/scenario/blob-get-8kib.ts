// Small blobs: image configs and attestations.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const blobGet8KiB: Scenario = requestScenario({
  name: 'blob-get-8kib',
  asks: 'Blob GET, 8 KiB',
  method: 'GET',
  target: 'blob',
  edge: 'plain',
  expected: [],
})
