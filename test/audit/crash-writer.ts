// The process that crash.test.ts kills: writes chained records to the file named by its argument, and
// says on standard output how many it has been told are written.

import { AuditQueue } from '../../src/audit/queue.ts'

const [, , path = ''] = process.argv
const queue = await AuditQueue.open({
  ...{ path, queueMax: 5_000, onFull: 'refuse', isChained: true, syncs: false },
  now: Date.now,
  elapsed: () => performance.now(),
  onFault: (message, error) => process.stderr.write(`${message} ${error}\n`),
  onLost: () => {},
})
const filler = 'x'.repeat(300)
let n = queue.figures().head.seq
for (;;) {
  while (queue.figures().queued < 4_000) {
    n += 1
    const body = { n, filler }
    queue.add('login', () => body)
  }
  process.stdout.write(`${queue.figures().head.seq}\n`)
  await new Promise(setImmediate)
}
