// From two rounds, ours and a reference's, to the two ratios that are judged.

import type { Scenario } from '../contract.ts'
import type { MeasuredRound } from '../runner.ts'

/** Ratios ours ÷ reference of one pair of rounds; undefined where one of the two was not measured. */
export interface Pair {
  readonly wall: number
  readonly cpu: number | undefined
  /** CPU-seconds of ours per second: far below 1 the load, or a disk, was the limit of its round. */
  readonly busy: number | undefined
}

function workPerCpuSecond(round: MeasuredRound, unit: Scenario['unit']): number | undefined {
  // A program that measures itself does so in seconds of its own CPU.
  if (round.cpuSeconds === undefined) return unit === 'MB/s' ? round.figure * 1e6 : undefined
  if (round.cpuSeconds <= 0) return undefined
  return (unit === 'MB/s' ? round.bytes : round.requests) / round.cpuSeconds
}

/** The ratios of work per second, and per CPU-second of the servers. */
export function pairOf(
  ours: MeasuredRound,
  reference: MeasuredRound,
  unit: Scenario['unit'],
): Pair | undefined {
  if (!(ours.figure > 0 && reference.figure > 0)) return undefined
  const [mine, its] = [workPerCpuSecond(ours, unit), workPerCpuSecond(reference, unit)]
  const cpu = mine === undefined || its === undefined ? undefined : mine / its
  const busy = ours.cpuSeconds === undefined ? undefined : ours.cpuSeconds / ours.seconds
  return { wall: ours.figure / reference.figure, cpu, busy }
}
