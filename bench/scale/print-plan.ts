// `node dist/bench/scale/print-plan.js` prints the paper plan.

import { report } from './simulate.ts'

process.stdout.write(report())
