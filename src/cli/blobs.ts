// `keelson blobs rewrap`: go over to another master key.
import type { Command } from './command.ts'
import { jobFlags, runJob } from './run-job.ts'

export const blobsRewrap: Command = {
  name: 'blobs rewrap',
  summary: 'encrypt the keys of all blobs with the first key of [blob_store.fs.encryption]',
  help: `Every encrypted blob has a key of its own, which is encrypted with a master key. This encrypts it with the
one that comes first in the configuration, so that the others can be taken out of it afterwards. No blob is
written again. The running server does it while it serves; where none runs, the store is opened for that. A
run that was cut short leaves every blob readable, and the next one goes on from there.`,
  flags: jobFlags,
  run: (invocation) => runJob(invocation, 'rewrap', {}),
}
