// `keelson scrub`: look whether what is stored still is what was pushed.
import type { Command, Invocation } from './command.ts'
import { jobFlags, runJob } from './run-job.ts'

export const scrub: Command = {
  name: 'scrub',
  summary: 'look for damage, and put right what can be',
  help: `Reads every blob and hashes it again, and compares all records with each other and with the files. A
blob whose bytes are lost or wrong reads as absent from then on, so that nobody gets them and a push brings it
back; with a [peer.<name>] that has it, it is healed from there. Files that nobody knows stay where they are.
The running server does it while it serves; where none runs, the store is opened for that.`,
  flags: {
    ...jobFlags,
    'dry-run': 'tell what is wrong, and change nothing',
    quick: 'compare sizes and records, and hash only what looks wrong',
  },
  run: (invocation: Invocation): Promise<number> => {
    const { flags } = invocation
    return runJob(invocation, 'scrub', { dryRun: flags.has('dry-run'), quick: flags.has('quick') })
  },
}
