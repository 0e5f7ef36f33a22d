// `keelson export`: writes images as an OCI layout.
import { resolve } from 'node:path'
import { parseSize } from '../config/units.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { jobFlags, runJob } from './run-job.ts'

export const exportCommand: Command = {
  name: 'export',
  summary: 'write images to an OCI layout',
  help: `PATH is a directory: a new one, an empty one, or an OCI layout, to which the images are added. An IMAGE is
REPOSITORY for all its tags, REPOSITORY:TAG or REPOSITORY@DIGEST. In the layout an image is named by its
tag; where several repositories are exported at once, by REPOSITORY:TAG. All bytes are verified by their
digests as they lie in the layout. The running server writes it, so PATH has to be writable for its user;
where none runs, this process does.`,
  argument: 'PATH IMAGE',
  takesSeveral: true,
  flags: {
    json: jobFlags.json,
    'dry-run': 'tell what would be written, and write nothing',
    referrers: 'also what refers to the images: signatures, attestations and the like',
    link: 'blobs as hard links to those of the store, which nobody may then write to',
  },
  options: {
    to: ['KIND', 'oci-layout'],
    rate: ['SIZE', 'read at most so much in a second, such as 50MiB'],
  },
  async run(invocation: Invocation): Promise<number> {
    const { cwd, flags, options, words } = invocation
    const [path, ...images] = words
    const { to, rate } = options as { readonly to?: string; readonly rate?: string }
    const bytesPerSecond = rate === undefined ? 0 : parseSize(rate)
    if (to === undefined) return refuse(invocation, 'export needs --to')
    if (path === undefined) return refuse(invocation, 'export needs a PATH')
    if (images.length === 0) return refuse(invocation, 'export needs an IMAGE')
    if (bytesPerSecond === undefined) {
      return refuse(invocation, '--rate: expected a size such as 50MiB')
    }
    return runJob(invocation, 'export', {
      ...{ to, path: resolve(cwd, path), images, bytesPerSecond },
      ...{ referrers: flags.has('referrers'), link: flags.has('link') },
      dryRun: flags.has('dry-run'),
    })
  },
}

function refuse({ terminal }: Invocation, message: string): number {
  terminal.err(`keelson: ${message}\n`)
  return exitCodes.usage
}
