// A preload that plants a slowdown, to try the gate on: every JavaScript thread of the process burns
// a share of the CPU time that it uses, whatever it does. `node --import …/slow-down.js PROGRAM`

import { readFileSync } from 'node:fs'

// CPU time to burn for each unit that is used: 0.25 leaves 1 / 1.25 of the speed, a fifth less.
const share = Number(process.env['BENCH_BURN'] ?? '0.25')
// Short beside a round, and so long that looks at the clock, by idle threads too, cost nothing.
const EVERY_MS = 20

/** CPU nanoseconds of this thread. The kernel moves it on by ticks of some milliseconds. */
function used(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ', 1)[0])
}

let burned = 0

setInterval(() => {
  const start = used()
  // What a coarse clock made us burn too much is taken off the next debt.
  const debt = share * (start - burned) - burned
  if (debt <= 0) return
  while (used() < start + debt);
  burned += used() - start
}, EVERY_MS).unref()
