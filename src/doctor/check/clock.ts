// Checks whether somebody keeps the clock, and how far it is from others'.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'

export interface ClockFacts {
  /** Who says what of it. The first that is sure counts. */
  readonly witnesses: readonly ClockWitness[]
  /** Programs that keep clocks and run here. */
  readonly daemons: readonly string[]
  /** Pid 1 is an init system: then all that keep the clock can be seen. */
  readonly seesAll: boolean
}

export interface ClockWitness {
  /** Such as `chrony`. */
  readonly name: string
  readonly isSynchronized: boolean
  /** By how much ours is wrong, either way; undefined where it does not say. Units: ms. */
  readonly offsetMs: number | undefined
}

/** What the clock of another host says. Units: ms. */
export interface SkewFacts {
  /** Its origin. */
  readonly source: string
  /** By how much at least it is ahead of ours, or behind where negative; undefined with `fault`. */
  readonly aheadMs: number | undefined
  readonly fault: string | undefined
}

const warnMs = 2000
const errorMs = 60_000

export const clockRows = {
  'clock-sync': {
    title: 'clock',
    why: 'tokens, certificates and leases are judged by it: a wrong one refuses what is good or takes what has ended',
    link: 'tuning.md#clock',
    warning:
      'nobody keeps it, on a machine with an init system; or who does says that it is not synchronised, or a second off',
    atStart: true,
  },
  'clock-skew': {
    title: 'clock compared',
    why: 'tokens and certificates of others count by their clocks',
    link: 'tuning.md#clock',
    error: 'a minute or more from the clock of `--clock-url` or of a provider of tokens',
    warning: 'two seconds or more from it',
  },
} as const

const say = sayingsOf(clockRows)

export function checkClock({ witnesses, daemons, seesAll }: ClockFacts): readonly Finding[] {
  const [witness] = witnesses
  const start = {
    remedy: 'let chrony or systemd-timesyncd keep it',
    command: 'timedatectl set-ntp true',
  }
  if (witness === undefined) {
    if (daemons.length > 0) {
      return [say.unknown('clock-sync', `${daemons.join(', ')} runs, and does not tell`)]
    }
    if (seesAll) return [say.warning('clock-sync', 'nobody keeps it', start)]
    return [say.unknown('clock-sync', 'who keeps it is not to be seen from here')]
  }
  const { name, isSynchronized, offsetMs } = witness
  if (!isSynchronized) {
    return [say.warning('clock-sync', `${name} says that it is not synchronised`, start)]
  }
  const off = offsetMs === undefined ? '' : `, ${Math.abs(offsetMs).toFixed(3)} ms off`
  if (offsetMs !== undefined && Math.abs(offsetMs) >= 1000) {
    const remedy = 'set it at once, and see why it drifts'
    const command = name === 'chrony' ? 'chronyc makestep' : 'systemctl restart systemd-timesyncd'
    return [say.warning('clock-sync', `${name} says: synchronised${off}`, { remedy, command })]
  }
  return [say.ok('clock-sync', `${name} says: synchronised${off}`)]
}

export function checkSkew(facts: readonly SkewFacts[]): readonly Finding[] {
  return facts.map(({ source, aheadMs, fault }) => {
    if (aheadMs === undefined) {
      return say.unknown('clock-skew', `${source}: ${fault ?? 'it tells no time'}`)
    }
    const seconds = (Math.abs(aheadMs) / 1000).toFixed(1)
    const way = aheadMs > 0 ? 'behind' : 'ahead of'
    if (Math.abs(aheadMs) < warnMs) return say.ok('clock-skew', `agrees with ${source}`)
    const detail = `it is at least ${seconds} s ${way} that of ${source}`
    const fix = {
      remedy: 'see which of the two is wrong, and let chrony or systemd-timesyncd keep it',
      command: 'timedatectl set-ntp true',
    }
    return Math.abs(aheadMs) >= errorMs
      ? say.error('clock-skew', detail, fix)
      : say.warning('clock-skew', detail, fix)
  })
}
