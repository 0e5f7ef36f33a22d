// Checks the instructions that hashing and TLS live on, and how fast they run here, now.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'

export interface ProcessorFacts {
  readonly architecture: string
  /** As /proc/cpuinfo names them; undefined where it does not. */
  readonly flags: ReadonlySet<string> | undefined
  /** OPENSSL_ia32cap or OPENSSL_armcap of the environment, which hide instructions. */
  readonly isMasked: boolean
}

/** Units: bytes per second of one core's time. */
export interface RateFacts {
  readonly hashRate: number | undefined
  readonly cipherRate: number | undefined
}

// Measured on the machine of tuning.md: an AES-NI core of a virtual machine. Of AES-GCM there is no figure
// of its own; large blobs went out at 1.5 GB/s with it.
const reference = { hash: 1150e6, cipher: 1500e6 } as const
const slowShare = 0.25

const wanted: Readonly<Record<string, ReadonlyArray<readonly [flag: string, name: string]>>> = {
  x64: [
    ['aes', 'AES-NI'],
    ['sha_ni', 'SHA-NI'],
    ['avx2', 'AVX2'],
  ],
  arm64: [
    ['aes', 'AES'],
    ['sha2', 'SHA2'],
    ['pmull', 'PMULL'],
  ],
}

export const processorRows = {
  instructions: {
    title: 'processor',
    why: 'without these instructions hashing of pushes and TLS cost several times as much processor time',
    link: 'tuning.md#cpu',
    warning: 'no AES instructions, or OPENSSL_ia32cap or OPENSSL_armcap hides some',
    advice: 'no SHA instructions; x86-64: no AVX2; arm64: no PMULL',
  },
  'hash-rate': {
    title: 'SHA-256',
    why: 'every byte that is pushed is hashed once',
    link: 'tuning.md#cpu',
    warning: 'below a quarter of the 1,150 MB/s of the reference machine',
  },
  'cipher-rate': {
    title: 'AES-128-GCM',
    why: 'every byte that goes over TLS is encrypted once',
    link: 'tuning.md#cpu',
    warning: 'below 375 MB/s, a quarter of what TLS moved on the reference machine',
  },
} as const

const say = sayingsOf(processorRows)

export function checkProcessor({
  architecture,
  flags,
  isMasked,
}: ProcessorFacts): readonly Finding[] {
  if (isMasked) {
    return [
      say.warning('instructions', 'the environment hides some of them from OpenSSL', {
        remedy: 'unset it, unless a fault of this processor asks for it',
        command: 'unset OPENSSL_ia32cap OPENSSL_armcap',
      }),
    ]
  }
  const names = wanted[architecture]
  if (flags === undefined || names === undefined) {
    return [say.unknown('instructions', `what this ${architecture} can do is not told`)]
  }
  const lacking = names.filter(([flag]) => !flags.has(flag))
  const has = names.filter(([flag]) => flags.has(flag)).map(([, name]) => name)
  if (lacking.length === 0) return [say.ok('instructions', `it has ${has.join(', ')}`)]
  const detail = `it lacks ${lacking.map(([, name]) => name).join(', ')}, or a hypervisor hides them`
  const remedy = 'on a virtual machine choose the CPU model of the host (QEMU: -cpu host)'
  const isGrave = lacking.some(([flag]) => flag === 'aes')
  return [
    isGrave
      ? say.warning('instructions', detail, { remedy })
      : say.advice('instructions', detail, { remedy }),
  ]
}

export function checkRates({ hashRate, cipherRate }: RateFacts): readonly Finding[] {
  return [
    rateFinding('hash-rate', hashRate, reference.hash),
    rateFinding('cipher-rate', cipherRate, reference.cipher),
  ]
}

function rateFinding(
  check: 'hash-rate' | 'cipher-rate',
  rate: number | undefined,
  known: number,
): Finding {
  if (rate === undefined) return say.unknown(check, 'it could not be measured')
  const shown = `${Math.round(rate / 1e6)} MB for each second of one core, in a short run beside whatever else runs`
  if (rate >= known * slowShare) return say.ok(check, shown)
  return say.warning(check, `${shown}; the reference machine has ${known / 1e6}`, {
    remedy:
      'see that the processor has these instructions, is not throttled, and is not shared with others',
  })
}
