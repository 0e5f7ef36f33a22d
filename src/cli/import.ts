// `keelson import`: brings what another registry holds, or ends the sharing of its tree.
import { resolve } from 'node:path'
import { parseSize } from '../config/units.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { jobFlags, runJob } from './run-job.ts'

export const importCommand: Command = {
  name: 'import',
  summary: 'bring in what another registry holds',
  help: `SOURCE is, with --from distribution, the directory of a docker-registry (its rootdirectory); with
--from oci-layout an OCI layout; with --from angos the root_dir of an angos on a file system; with --from
registry the URL of a registry. It is only read. Every manifest is checked as a push is, and every blob is
hashed before anything names it; what cannot be brought is reported, and the rest comes all the same. Run it
again to bring what is new there since: tags that were pushed or deleted here meanwhile are left.
Blobs of a docker-registry on the same file system are linked, not copied. Where its tree is our own
[blob_store.fs] root_dir, they stay where they are, and garbage collection removes nothing, so that
docker-registry can go on serving it, until import --take-over.`,
  argument: 'SOURCE',
  flags: {
    json: jobFlags.json,
    'dry-run': 'tell what would come, and change nothing',
    overwrite: 'also set tags that were pushed or deleted here since the last import',
    'take-over': 'the other registry is gone: garbage collection may remove blobs from its tree',
    yes: 'with --take-over: no docker-registry serves that tree any more',
  },
  options: {
    from: ['KIND', 'distribution, oci-layout, angos or registry'],
    repository: ['NAME', 'put everything below this name; of an OCI layout, the name itself'],
    only: ['NAME', 'of a registry: only this repository; repeat it for more'],
    blobs: ['PATH', 'of angos: the root_dir of its blob store, where that is another one'],
    rate: ['SIZE', 'read at most so much in a second, such as 50MiB'],
  },
  repeatable: ['only'],
  async run(invocation: Invocation): Promise<number> {
    const { flags } = invocation
    const input = flags.has('take-over') ? takeOverInput(invocation) : importInput(invocation)
    if (typeof input === 'string') return refuse(invocation, input)
    return runJob(invocation, 'import', input)
  },
}

function takeOverInput({ argument, flags, options }: Invocation): object | string {
  const given = [...Object.keys(options), ...(flags.has('overwrite') ? ['overwrite'] : [])]
  if (argument !== undefined || given.length > 0) return '--take-over takes nothing but --dry-run'
  const dryRun = flags.has('dry-run')
  if (!dryRun && !flags.has('yes')) {
    return 'after --take-over garbage collection removes blobs that a docker-registry may still name: stop it, and say --yes'
  }
  return { takeOver: true, dryRun }
}

function importInput({ argument, cwd, flags, options }: Invocation): object | string {
  const { from, repository, only, blobs, rate } = options as ImportOptions
  if (from === undefined) return 'import needs --from'
  if (argument === undefined) return 'import needs a SOURCE'
  const bytesPerSecond = rate === undefined ? 0 : parseSize(rate)
  if (bytesPerSecond === undefined) return '--rate: expected a size such as 50MiB'
  return {
    from,
    // What is no path the server says.
    source: from === 'registry' || argument.includes('://') ? argument : resolve(cwd, argument),
    ...(repository === undefined ? {} : { repository }),
    ...{ bytesPerSecond, overwrite: flags.has('overwrite'), dryRun: flags.has('dry-run') },
    options: {
      ...(only === undefined ? {} : { only: only.split(' ') }),
      ...(blobs === undefined ? {} : { blobs: resolve(cwd, blobs) }),
    },
  }
}

interface ImportOptions {
  readonly from?: string
  readonly repository?: string
  readonly only?: string
  readonly blobs?: string
  readonly rate?: string
}

function refuse({ terminal }: Invocation, message: string): number {
  terminal.err(`keelson: ${message}\n`)
  return exitCodes.usage
}
