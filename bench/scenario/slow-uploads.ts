// Clients behind slow lines: 64 and 256 uploads at once that send 32 kB a second each, for longer
// than a slow sender is given. All must end well; what they cost is memory.

import { EMPTY, MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { drive } from '../load/drive.ts'
import type { SlowOrder } from '../load/slow-driver.ts'
import { watchMemory } from '../memory/watch.ts'

const BYTES_PER_SECOND = 32_000
// The least rate of a body is averaged over ten seconds.
const SECONDS = 15

const LIMITS = [
  [64, 300],
  [256, 400],
] as const

export const slowUploads: readonly Scenario[] = LIMITS.map(([uploads, atMost]) => ({
  name: `slow-uploads-${uploads}`,
  asks: `Peak anonymous memory with ${uploads} uploads at 32 kB/s each; latency of a ping beside`,
  unit: 'MiB',
  edge: 'plain',
  stores: ['disk'],
  references: ['docker-registry'],
  content: () => EMPTY,
  round: async (server, content, context) => {
    const order: SlowOrder = {
      ...{ port: server.port, repository: content.repository, uploads },
      ...{ bytesPerSecond: BYTES_PER_SECOND, seconds: SECONDS },
    }
    const watch = watchMemory(server.pid)
    try {
      const result = await drive('slow-driver', order, context)
      const { anonymousBytes, fileBytes } = watch.stop()
      return {
        ...{ ...result, figure: anonymousBytes / MIB, driver: 'node socket' },
        beside: { fileMiB: fileBytes / MIB },
      }
    } finally {
      watch.stop()
    }
  },
  writes: true,
  // A peak is not a rate: one round on a fresh server says it all.
  warmUp: false,
  roundsMax: 1,
  storeBytesMax: uploads * BYTES_PER_SECOND * SECONDS,
  expected: [{ atMost }],
}))
