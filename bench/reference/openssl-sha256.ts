// `openssl speed` on the server's core: a push cannot be faster than the hash of its bytes.

import { programSays, runToEnd } from '../children.ts'
import type { Gauge, Round, StartContext, Subject } from '../contract.ts'

const BLOCK_BYTES = 1024 * 1024

async function measure(serverCores: string | undefined, seconds: number): Promise<Round> {
  const whole = Math.max(1, Math.round(seconds))
  const output = await runToEnd(
    serverCores,
    [
      ...['openssl', 'speed', '-mr', '-evp', 'sha256'],
      ...['-bytes', String(BLOCK_BYTES), '-seconds', String(whole)],
    ],
    whole * 1000 + 30_000,
  )
  // With -mr the last field of the +F line is bytes per second.
  const rate = Number(/^\+F:.*:([\d.]+)$/m.exec(output)?.[1])
  if (!(rate > 0)) throw new Error(`openssl speed said: ${output}`)
  return {
    figure: rate / 1e6,
    requests: 0,
    bytes: Math.round(rate * whole),
    seconds: whole,
    latencyMs: undefined,
    driver: 'openssl speed',
  }
}

export const opensslSha256: Subject = {
  name: 'openssl-sha256',
  version: () => programSays('openssl', 'version')?.split(' ')[1],
  start: async ({ serverCores }: StartContext): Promise<Gauge> => ({
    kind: 'gauge',
    name: 'openssl-sha256',
    measure: (seconds) => measure(serverCores, seconds),
  }),
}
