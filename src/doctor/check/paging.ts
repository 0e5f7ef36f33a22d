// Checks how the kernel treats memory: what it swaps out, how large its pages are, when it writes.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { shownSize } from '../wording.ts'

/** Settings as the kernel tells them; undefined where it does not. */
export interface PagingFacts {
  readonly swappiness: string | undefined
  readonly hasSwap: boolean | undefined
  /** `always`, `madvise` or `never`. */
  readonly hugePages: string | undefined
  readonly dirtyBackgroundRatio: string | undefined
  /** Counts where it is not 0. */
  readonly dirtyBackgroundBytes: string | undefined
  /** Units: bytes. */
  readonly availableBytes: number | undefined
}

const calmSwappiness = 10
const dirtyMostBytes = 1024 ** 3
const settingsFile = '/etc/sysctl.d/80-keelson.conf'

export const pagingRows = {
  swappiness: {
    title: 'vm.swappiness',
    why: 'pages of an idle server go to the swap to make place for blobs that were read once, and the next request waits for them',
    link: 'tuning.md#files-and-memory',
    advice: 'above 10, and there is swap',
  },
  'huge-pages': {
    title: 'transparent huge pages',
    why: 'with `always` a process can hold far more memory than it uses, and stop while the kernel puts large pages together',
    link: 'tuning.md#files-and-memory',
    advice: '`always`',
  },
  'dirty-pages': {
    title: 'vm.dirty_background',
    why: 'the kernel begins to write late and then much at a time, and each sync of a push waits behind it',
    link: 'docs/doctor.md#memory-and-processors',
    advice: 'the kernel begins to write only when more than 1 GiB waits',
  },
} as const

const say = sayingsOf(pagingRows)

export function checkPaging(facts: PagingFacts): readonly Finding[] {
  return [checkSwap(facts), checkHugePages(facts.hugePages), checkDirty(facts)]
}

function checkSwap({ swappiness, hasSwap }: PagingFacts): Finding {
  if (hasSwap === false) return say.ok('swappiness', 'there is no swap')
  const value = wholeOf(swappiness)
  if (value === undefined || hasSwap === undefined) {
    return say.unknown('swappiness', 'it cannot be read')
  }
  if (value <= calmSwappiness) return say.ok('swappiness', `it is ${value}`)
  return say.advice('swappiness', `it is ${value}`, {
    remedy: `lower it, and write it to ${settingsFile}`,
    command: `sysctl -w vm.swappiness=${calmSwappiness}`,
  })
}

function checkHugePages(choice: string | undefined): Finding {
  if (choice === undefined) return say.unknown('huge-pages', 'the choice cannot be read')
  if (choice !== 'always') return say.ok('huge-pages', choice)
  return say.advice('huge-pages', choice, {
    remedy: 'choose madvise, and add transparent_hugepage=madvise to the kernel command line',
    command: 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled',
  })
}

function checkDirty(facts: PagingFacts): Finding {
  const bytes = dirtyBytesOf(facts)
  if (bytes === undefined) return say.unknown('dirty-pages', 'it cannot be read')
  const detail = `the kernel begins to write when ${shownSize(bytes)} wait`
  if (bytes <= dirtyMostBytes) return say.ok('dirty-pages', detail)
  return say.advice('dirty-pages', detail, {
    remedy: `let it begin earlier, and write it to ${settingsFile}`,
    command: 'sysctl -w vm.dirty_background_bytes=268435456 vm.dirty_bytes=1073741824',
  })
}

function dirtyBytesOf(facts: PagingFacts): number | undefined {
  const bytes = wholeOf(facts.dirtyBackgroundBytes)
  if (bytes !== undefined && bytes > 0) return bytes
  const ratio = wholeOf(facts.dirtyBackgroundRatio)
  if (ratio === undefined || facts.availableBytes === undefined) return undefined
  return (ratio / 100) * facts.availableBytes
}

function wholeOf(written: string | undefined): number | undefined {
  return written !== undefined && /^\d{1,15}$/.test(written) ? Number(written) : undefined
}
