// `keelson gc`, `gc list` and `gc restore`: collect garbage, see what can be brought back, and bring it back.
import { roughSize } from '../telemetry/rough-units.ts'
import { askServer } from './ask-server.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { jobFlags, runJob, withoutServer } from './run-job.ts'

export const gc: Command = {
  name: 'gc',
  summary: 'collect garbage',
  help: `Condemns blobs that no manifest names once their lease has ended, so that nobody can read them, and
destroys what was condemned or deleted longer ago than gc.restore_window. Until then gc restore brings it
back. The running server does it while it serves; where none runs, the store is opened for that.`,
  flags: { ...jobFlags, 'dry-run': 'tell what would be done, and change nothing' },
  run: (invocation: Invocation): Promise<number> =>
    runJob(invocation, 'gc', { dryRun: invocation.flags.has('dry-run') }),
}

export const gcList: Command = {
  name: 'gc list',
  summary: 'list what can be brought back',
  help: `Lists blobs that were condemned, repositories' holds on them that ended, and manifests that were
deleted, by gc, prune or a client, with the run that did it and until when they can be brought back.`,
  flags: { json: 'print one JSON object' },
  options: {
    digest: ['DIGEST', 'only this blob or manifest'],
    run: ['RUN', 'only what this run has taken away'],
  },
  async run(invocation: Invocation): Promise<number> {
    const { flags, options, terminal } = invocation
    const query = new URLSearchParams({ limit: '1000' })
    for (const name of ['digest', 'run']) {
      const value = options[name]
      if (value !== undefined) query.set(name, value)
    }
    const all: ShownItem[] = []
    let count = 0
    let next: string | undefined
    do {
      if (next !== undefined) query.set('from', next)
      const answer = await askServer(invocation, `/gc/dropped?${query}`, undefined, withoutServer)
      if (answer === undefined) return exitCodes.failed
      const page = answer as { readonly items: readonly ShownItem[]; readonly next?: string }
      if (flags.has('json')) all.push(...page.items)
      else for (const item of page.items) terminal.out(shownItem(item))
      count += page.items.length
      next = page.next
    } while (next !== undefined)
    if (flags.has('json')) terminal.out(`${JSON.stringify({ items: all }, undefined, 2)}\n`)
    else if (count === 0) terminal.err('there is nothing to bring back\n')
    return exitCodes.ok
  },
}

export const gcRestore: Command = {
  name: 'gc restore',
  summary: 'bring back what was taken away',
  help: `DIGEST is that of a blob or a manifest, RUN the id of a run of gc or prune, as gc list and the audit log
show them. A manifest comes back with its blobs, an index with what it lists, and with those of its tags
that name nothing else by now. A blob comes back with a new lease: push a manifest that names it before
it ends.`,
  argument: 'DIGEST|RUN',
  flags: { json: 'print one JSON object' },
  async run(invocation: Invocation): Promise<number> {
    const { argument, flags, terminal } = invocation
    if (argument === undefined) {
      terminal.err('keelson: gc restore needs a digest or the id of a run\n')
      return exitCodes.usage
    }
    const wanted = argument.includes(':') ? { digest: argument } : { run: argument }
    const outcomes: ShownOutcome[] = []
    let next: string | undefined
    do {
      const input = next === undefined ? wanted : { ...wanted, from: next }
      const answer = await askServer(invocation, '/gc/restore', input, withoutServer)
      if (answer === undefined) return exitCodes.failed
      const page = answer as { readonly outcomes: readonly ShownOutcome[]; readonly next?: string }
      outcomes.push(...page.outcomes)
      if (!flags.has('json')) for (const each of page.outcomes) terminal.out(shownOutcome(each))
      next = page.next
    } while (next !== undefined)
    const lacking = outcomes.filter(({ isRestored }) => !isRestored).length
    if (flags.has('json')) terminal.out(`${JSON.stringify({ outcomes }, undefined, 2)}\n`)
    else terminal.out(summary(argument, outcomes, lacking))
    return outcomes.length > 0 && lacking === 0 ? exitCodes.ok : exitCodes.failed
  },
}

// As the admin interface of the same version answers.
interface ShownItem {
  readonly kind: string
  readonly digest: string
  readonly size: number
  readonly repository?: string
  readonly tags?: readonly string[]
  readonly droppedAt: string
  readonly run?: string
  readonly until: string
}

interface ShownOutcome {
  readonly kind: string
  readonly digest: string
  readonly size: number
  readonly repository?: string
  readonly isRestored: boolean
  readonly tags?: readonly string[]
  readonly why?: string
}

function shownItem(item: ShownItem): string {
  const { kind, digest, size, droppedAt, run = 'a client', until } = item
  return `${kind.padEnd(8)}  ${digest}  ${roughSize(size).padStart(8)}  ${droppedAt}  by ${run}  until ${until}${place(item)}\n`
}

function shownOutcome(outcome: ShownOutcome): string {
  const { kind, digest, size, isRestored, why = '' } = outcome
  const what = `${kind} ${digest}${place(outcome)}`
  return isRestored ? `restored ${what}, ${roughSize(size)}\n` : `not restored: ${what}: ${why}\n`
}

function place({ repository, tags = [] }: Pick<ShownItem, 'repository' | 'tags'>): string {
  if (repository === undefined) return ''
  return `  in ${repository}${tags.length === 0 ? '' : ` (${tags.join(', ')})`}`
}

function summary(asked: string, outcomes: readonly ShownOutcome[], lacking: number): string {
  if (outcomes.length === 0) return `nothing of ${asked} can be brought back: see keelson gc list\n`
  const restored = outcomes.length - lacking
  return `${restored} restored${lacking === 0 ? '' : `, ${lacking} not`}\n`
}
