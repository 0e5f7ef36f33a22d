// `keelson migrate`: move a registry to other stores.
import { resolve } from 'node:path'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { jobFlags, runJob } from './run-job.ts'

export const migrate: Command = {
  name: 'migrate',
  summary: 'move the registry to other stores',
  help: `Copies all that the stores of the configuration hold to the empty stores of another one, compares both,
and leaves the source as it is. Blobs stay where they are if both configurations have the same root_dir. The
running server does it: pulls go on, and it refuses writes with 503 until it is restarted, or the migration
fails. Where no server runs, the stores are opened for that. Cut short, the same command goes on; until it has
ended, no server opens the target.`,
  flags: {
    ...jobFlags,
    'dry-run': 'tell what would be moved, and change nothing that is stored',
  },
  options: {
    'to-config': ['FILE', 'the configuration of the target, which the server must be able to read'],
    from: ['KINDS', 'refuse unless the source has these kinds of stores, such as lmdb+fs'],
    to: ['KINDS', 'refuse unless the target has these kinds of stores, such as postgres+fs'],
  },
  async run(invocation: Invocation): Promise<number> {
    const { cwd, flags, options, terminal } = invocation
    const { from, to } = options as { readonly from?: string; readonly to?: string }
    const file = options['to-config']
    if (file === undefined) {
      terminal.err('keelson: migrate needs --to-config FILE\n')
      return exitCodes.usage
    }
    return runJob(invocation, 'migrate', {
      ...{ to: resolve(cwd, file), fromKinds: from, toKinds: to },
      dryRun: flags.has('dry-run'),
    })
  },
}
