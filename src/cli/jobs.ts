// `keelson jobs` and `jobs stop`: how maintenance is, and an end to a run of it.
import { roughDuration } from '../telemetry/rough-units.ts'
import { askServer } from './ask-server.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import type { ShownJob } from './job-screen.ts'
import { withoutServer } from './run-job.ts'

export const jobs: Command = {
  name: 'jobs',
  summary: 'show how maintenance jobs are',
  help: `Shows of each job whether it runs, how the last run ended, and when the server runs it next by
itself. With KIND, such as gc or scrub, all that is known of it.`,
  argument: 'KIND',
  flags: { json: 'print one JSON object' },
  async run(invocation: Invocation): Promise<number> {
    const { argument: kind, flags, terminal } = invocation
    const path = kind === undefined ? '/jobs' : `/jobs?${new URLSearchParams({ kind })}`
    const answer = await askServer(invocation, path, undefined, withoutServer)
    if (answer === undefined) return exitCodes.failed
    if (flags.has('json')) {
      terminal.out(`${JSON.stringify(answer, undefined, 2)}\n`)
      return exitCodes.ok
    }
    const { jobs: all = [] } = answer as { readonly jobs?: readonly ShownJob[] }
    for (const job of all) terminal.out(shownJob(job, Date.now()))
    return exitCodes.ok
  },
}

export const jobsStop: Command = {
  name: 'jobs stop',
  summary: 'end a run of a maintenance job',
  help: `Asks whoever runs it to stop. The next run of the same kind goes on from there.`,
  argument: 'KIND',
  flags: {},
  async run(invocation: Invocation): Promise<number> {
    const { argument: kind, terminal } = invocation
    if (kind === undefined) {
      terminal.err('keelson: jobs stop needs the kind of a job, such as gc\n')
      return exitCodes.usage
    }
    const asked = await askServer(invocation, '/jobs/stop', { kind })
    if (asked === undefined) return exitCodes.failed
    terminal.out(`${kind} was asked to stop: keelson jobs shows when it has\n`)
    return exitCodes.ok
  },
}

function shownJob(job: ShownJob, now: number): string {
  const { kind, isDryRun = false, nextDue } = job
  const shown = isDryRun ? (lastOf(job) ?? { kind, state: 'never' }) : job
  const below = [
    ...(shown.summary ?? []),
    ...(isDryRun ? [`a dry run: ${stateOf(job, now)}`] : []),
    ...(nextDue === undefined ? [] : [`due ${fromNow(nextDue, now)}`]),
  ]
  const lines = [`${kind.padEnd(8)}${stateOf(shown, now)}`]
  return [...lines, ...below.map((line) => `${' '.repeat(8)}${line}`)]
    .map((line) => `${line}\n`)
    .join('')
}

function lastOf({ kind, last }: ShownJob): ShownJob | undefined {
  return last && { kind, state: 'ended', ...last }
}

function stateOf(job: ShownJob, now: number): string {
  const { state, outcome = 'ended', owner, startedAt = '', endedAt = '', progress = {} } = job
  const ago = (time: string): string => `${roughDuration(now - Date.parse(time))} ago`
  switch (state) {
    case 'running': {
      const { phase, done, total } = progress as { phase?: string; done?: number; total?: number }
      const far = done === undefined ? '' : ` ${done}${total === undefined ? '' : ` of ${total}`}`
      const what = phase === undefined ? '' : `: ${phase}${far}`
      return `running in ${owner}, begun ${ago(startedAt)}${what}`
    }
    case 'interrupted':
      return `cut short, begun ${ago(startedAt)}: the next run goes on from there`
    case 'ended':
      return `${outcome}, ended ${ago(endedAt)}`
    default:
      return 'never run'
  }
}

function fromNow(time: string, now: number): string {
  const ms = Date.parse(time) - now
  return ms <= 0 ? 'now' : `in ${roughDuration(ms)}`
}
