// Blobs that are not in the page cache, each pulled once: what libuv's threads are for.

import { KIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { coldScenario } from '../scenario/cold-cache.ts'

export const coldBlobs: Scenario = coldScenario({
  name: 'cold-blobs',
  size: 512 * KIB,
  sizeText: '512 KiB',
  blobs: 96,
  lanes: 32,
  references: [],
})
