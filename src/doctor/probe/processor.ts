// Reads what the processor can do, and measures it shortly.
import { createCipheriv, createHash } from 'node:crypto'
import type { ProcessorFacts, RateFacts } from '../check/processor.ts'
import type { Host } from '../host.ts'

const measureMs = 250
const blockBytes = 256 * 1024

export async function readProcessor(
  host: Host,
  {
    architecture,
    env,
  }: { readonly architecture: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<ProcessorFacts> {
  const text = await host.text('/proc/cpuinfo')
  // x86 and arm64. Cores may differ: only what all have can be relied on.
  const lines = [...(text ?? '').matchAll(/^(?:flags|Features)\s*: (.*)$/gm)]
  const sets = lines.map(([, flags = '']) => new Set(flags.trim().split(/\s+/)))
  const [first, ...others] = sets
  const flags = first && new Set([...first].filter((flag) => others.every((set) => set.has(flag))))
  const isMasked = ['OPENSSL_ia32cap', 'OPENSSL_armcap'].some((name) => env[name] !== undefined)
  return { architecture, flags, isMasked }
}

/** Blocks this thread for about half a second of its time, a second at most. */
export function measureRates(): RateFacts {
  const block = Buffer.alloc(blockBytes, 0x6b)
  const key = Buffer.alloc(16)
  return {
    hashRate: rateOf(() => createHash('sha256').update(block).digest()),
    cipherRate: rateOf(() => {
      const cipher = createCipheriv('aes-128-gcm', key, Buffer.alloc(12))
      cipher.update(block)
      cipher.final()
    }),
  }
}

// By the time that the processor gave us: others may use it as well, and that says nothing of it.
function rateOf(work: () => void): number | undefined {
  try {
    work()
    const endMs = performance.now() + 2 * measureMs
    const before = process.cpuUsage()
    let bytes = 0
    let usedMicros = 0
    while (usedMicros < measureMs * 1000 && performance.now() < endMs) {
      for (let i = 0; i < 8; i++) work()
      bytes += 8 * blockBytes
      const { user, system } = process.cpuUsage(before)
      usedMicros = user + system
    }
    return usedMicros === 0 ? undefined : (bytes * 1e6) / usedMicros
  } catch {
    // Not allowed in FIPS mode, or not there.
    return undefined
  }
}
