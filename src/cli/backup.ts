// `keelson backup create`, `list`, `verify`, `prune` and `restore`.
import { resolve } from 'node:path'
import { backupSummaries, type Told } from './backup-summary.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'
import { JobScreen } from './job-screen.ts'
import { jobFlags, runJob } from './run-job.ts'

const asJson = { json: 'print one JSON object, and no progress' } as const

export const backupCreate: Command = {
  name: 'backup create',
  summary: 'save the store to a directory',
  help: `Saves the records of one moment, and every blob that they name, while the server serves. The running server
does it; where none runs, the store is opened for that. What DIR has already is not copied again. DIR must be
there, and of the user of the server. What it holds is secret: it has the keys that sign tokens.`,
  options: { to: ['DIR', 'a directory of its own, on another disk'] },
  flags: {
    ...jobFlags,
    'dry-run': 'tell what would be done, and write nothing',
    link: 'hard links in place of copies: what damages a blob damages its backup',
  },
  async run(invocation: Invocation): Promise<number> {
    const { cwd, flags, options, terminal } = invocation
    const { to } = options as { readonly to?: string }
    if (to === undefined) {
      terminal.err('keelson: backup create needs --to DIR\n')
      return exitCodes.usage
    }
    const input = { to: resolve(cwd, to), link: flags.has('link'), dryRun: flags.has('dry-run') }
    return runJob(invocation, 'backup', input)
  },
}

export const backupList: Command = {
  name: 'backup list',
  summary: 'list the snapshots of a backup',
  help: `Lists the snapshots in DIR, oldest first, with what each of them holds. Needs no configuration.`,
  argument: 'DIR',
  flags: asJson,
  run: (invocation: Invocation): Promise<number> =>
    inFolder(invocation, async (folder) => {
      const { listBackups } = await import('../runtime/backups.ts')
      return backupSummaries.list(await listBackups(folder))
    }),
}

export const backupVerify: Command = {
  name: 'backup verify',
  summary: 'prove a backup',
  help: `Reads everything that the snapshots in DIR name, and compares it with its digests. Changes nothing, and
needs no configuration. Ends with 1 where anything is damaged or lacking, which it lists.`,
  argument: 'DIR',
  flags: { ...asJson, quick: 'only whether blobs are there and have their sizes' },
  options: { at: ['SNAPSHOT', 'only this one; the begin of its name will do'] },
  run: (invocation: Invocation): Promise<number> =>
    inFolder(invocation, async (folder, watch) => {
      const { flags, options } = invocation
      const { verifyBackupIn } = await import('../runtime/backups.ts')
      const asked = { at: options['at'], isQuick: flags.has('quick') }
      return backupSummaries.verified(await verifyBackupIn(folder, asked, watch))
    }),
}

export const backupPrune: Command = {
  name: 'backup prune',
  summary: 'remove old snapshots of a backup',
  help: `Keeps the latest N complete snapshots in DIR, and what is newer than the oldest of them. Removes the others,
and all that only they name. Removes nothing where a snapshot cannot be read. Needs no configuration.`,
  argument: 'DIR',
  flags: { ...asJson, 'dry-run': 'tell what would be removed, and remove nothing' },
  options: { keep: ['N', 'how many complete snapshots stay'] },
  async run(invocation: Invocation): Promise<number> {
    const { flags, options, terminal } = invocation
    const text = options['keep'] ?? ''
    const keep = /^\d{1,9}$/.test(text) ? Number(text) : 0
    if (keep === 0) {
      terminal.err('keelson: backup prune needs --keep N, at least 1\n')
      return exitCodes.usage
    }
    const isDryRun = flags.has('dry-run')
    return inFolder(invocation, async (folder, watch) => {
      const { pruneBackupIn } = await import('../runtime/backups.ts')
      const pruned = await pruneBackupIn(folder, { keep, isDryRun }, watch)
      return backupSummaries.pruned(pruned, isDryRun)
    })
  },
}

export const backupRestore: Command = {
  name: 'backup restore',
  summary: 'restore a backup to an empty store',
  help: `Restores the latest snapshot in DIR, or the one that --at names, to the stores of the configuration, which
must be empty, while no server runs. All is verified on its way. Where it is cut short, run it again: it goes
on, and until it has ended no server opens the store.`,
  argument: 'DIR',
  flags: {
    ...asJson,
    incomplete: 'restore also what is not all there: blobs that are lacking read as absent',
    'keep-blobs': 'the blob store may hold blobs, such as when only the records were lost',
  },
  options: { at: ['SNAPSHOT', 'this one; the begin of its name will do'] },
  run(invocation: Invocation): Promise<number> {
    const { flags, options } = invocation
    return inFolder(invocation, async (folder, watch) => {
      const config = loadOrReport(configFiles(invocation), invocation)
      if (config === undefined) return undefined
      const { restoreBackupFrom } = await import('../runtime/backups.ts')
      const choice = {
        ...{ at: options['at'], mayLack: flags.has('incomplete') },
        keepsBlobs: flags.has('keep-blobs'),
      }
      return backupSummaries.restored(await restoreBackupFrom(folder, config, choice, watch))
    })
  },
}

interface Watch {
  readonly signal: AbortSignal
  readonly onProgress: (progress: object) => void
}

/** `action` answers undefined where it has told the operator itself. */
async function inFolder(
  invocation: Invocation,
  action: (folder: string, watch: Watch) => Promise<Told | undefined>,
): Promise<number> {
  const { argument, cwd, flags, terminal } = invocation
  if (argument === undefined) {
    terminal.err('keelson: which backup? Give its directory\n')
    return exitCodes.usage
  }
  const isJson = flags.has('json')
  const screen = new JobScreen(terminal, { isJson, elapsed: () => performance.now() })
  const stop = new AbortController()
  const interrupt = (): void => stop.abort(new Error('stopped'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  try {
    const told = await action(resolve(cwd, argument), {
      signal: stop.signal,
      onProgress: (progress) => screen.progress('backup', progress),
    })
    screen.clear()
    if (told === undefined) return exitCodes.failed
    const { ok, summary, details } = told
    if (isJson) terminal.out(`${JSON.stringify({ ok, ...details }, undefined, 2)}\n`)
    else for (const line of summary) terminal.out(`${line}\n`)
    return ok ? exitCodes.ok : exitCodes.failed
  } catch (error) {
    screen.clear()
    if (!(error instanceof Error)) throw error
    terminal.err(`keelson: ${error.message}\n`)
    return exitCodes.failed
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt)
  }
}
