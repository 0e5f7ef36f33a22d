// What more connections cost: the same manifest GET on 1 to 1,024 of them.

import { MIB, smallImage } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { requestRate } from '../load/request-rate.ts'
import { ROUNDS_ANY, targetHeaders, targetPath } from '../scenario-kind.ts'

const COUNTS = [1, 8, 64, 256, 1024]

export const connectionCounts: readonly Scenario[] = COUNTS.map((connections) => ({
  name: `connections-${connections}`,
  asks: `Manifest GET by tag on ${connections} connection${connections === 1 ? '' : 's'}`,
  unit: 'req/s',
  edge: 'plain',
  stores: ['disk'],
  references: ['nginx-static'],
  content: smallImage,
  round: (server, content, context) => {
    const request = {
      ...{ method: 'GET' as const, path: targetPath(content, 'tag'), status: 200 },
      headers: targetHeaders('tag'),
    }
    return requestRate(server, request, { ...context, connections })
  },
  writes: false,
  warmUp: true,
  roundsMax: ROUNDS_ANY,
  storeBytesMax: MIB,
  expected: [],
}))
