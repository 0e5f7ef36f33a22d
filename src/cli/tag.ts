// `keelson tag history` and `keelson tag restore`: where a tag has pointed, and back to there.
import { parseDuration } from '../config/units.ts'
import { askServer } from './ask-server.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { withoutServer } from './run-job.ts'

export const tagHistory: Command = {
  name: 'tag history',
  summary: 'show where a tag has pointed',
  help: `Prints each move of the tag, the latest first: when it was, and from which digest to which. A tag that
was deleted keeps its history. The running server is asked, or the store where none runs.`,
  argument: 'REPOSITORY:TAG',
  flags: { json: 'print one JSON object' },
  options: { limit: ['COUNT', 'how many moves, from 1 to 10000; else 50'] },
  async run(invocation: Invocation): Promise<number> {
    const { flags, options, terminal } = invocation
    const named = parseName(invocation)
    if (typeof named === 'number') return named
    const { limit } = options as { readonly limit?: string }
    const query = new URLSearchParams({ ...named, ...(limit === undefined ? {} : { limit }) })
    const answer = await askServer(invocation, `/tag/history?${query}`, undefined, withoutServer)
    if (answer === undefined) return exitCodes.failed
    const history = answer as History
    if (flags.has('json')) terminal.out(`${JSON.stringify(history, undefined, 2)}\n`)
    else if (history.moves.length > 0) terminal.out(shownHistory(history))
    else terminal.err(`keelson: nothing is known of ${named.repository}:${named.tag}\n`)
    return history.moves.length > 0 ? exitCodes.ok : exitCodes.failed
  },
}

export const tagRestore: Command = {
  name: 'tag restore',
  summary: 'bring a tag back to where it pointed',
  help: `Points the tag to the digest that it had before its last move or deletion, to another one that it had,
or to that of a moment. A manifest that was deleted comes back with what it lists, as long as
gc.restore_window is not over. It counts as a push: rules, quotas and immutable tags hold.
The running server does it, or the store is opened where none runs.`,
  argument: 'REPOSITORY:TAG',
  flags: { json: 'print one JSON object' },
  options: {
    to: ['DIGEST', 'a digest that it pointed to'],
    at: ['TIME', 'where it pointed then, such as 2027-01-31T12:00:00Z, or 2h for so long ago'],
  },
  async run(invocation: Invocation): Promise<number> {
    const { flags, options, terminal } = invocation
    const named = parseName(invocation)
    if (typeof named === 'number') return named
    const { to, at } = options as { readonly to?: string; readonly at?: string }
    const input = {
      ...named,
      ...(to === undefined ? {} : { to }),
      ...(at === undefined ? {} : { at: momentOf(at) }),
    }
    const answer = await askServer(invocation, '/tag/restore', input, withoutServer)
    if (answer === undefined) return exitCodes.failed
    if (flags.has('json')) terminal.out(`${JSON.stringify(answer, undefined, 2)}\n`)
    else terminal.out(shownRestore(answer as Restored))
    return exitCodes.ok
  },
}

// As the admin interface of the same version answers.
interface History {
  readonly repository: string
  readonly tag: string
  readonly digest?: string
  readonly moves: readonly { readonly at: string; readonly from?: string; readonly to?: string }[]
}

interface Restored {
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly from?: string
  readonly restoredManifests: readonly string[]
}

interface Named {
  readonly repository: string
  readonly tag: string
}

// The server says what is wrong with either part. Answers the exit code where there are not two of them: a name
// that is wrong is no wrong command line, here as there.
function parseName({ argument, terminal }: Invocation): Named | number {
  const colon = argument?.lastIndexOf(':') ?? -1
  if (argument !== undefined && colon > 0 && colon < argument.length - 1) {
    return { repository: argument.slice(0, colon), tag: argument.slice(colon + 1) }
  }
  terminal.err('keelson: expected a repository and a tag, such as team/app:v1\n')
  return argument === undefined ? exitCodes.usage : exitCodes.failed
}

/** A time, or how long ago. */
function momentOf(text: string): string {
  const agoMs = parseDuration(text)
  return agoMs === undefined ? text : new Date(Date.now() - agoMs).toISOString()
}

function shownHistory({ repository, tag, digest, moves }: History): string {
  const lines = moves.map(({ at, from, to }) => {
    if (to === undefined) return `${at}  deleted   was ${from ?? 'nothing'}`
    return from === undefined ? `${at}  made      ${to}` : `${at}  moved to  ${to}`
  })
  const now = digest === undefined ? 'is not there' : `points to ${digest}`
  return `${repository}:${tag} ${now}\n${lines.join('\n')}\n`
}

function shownRestore({ repository, tag, digest, from, restoredManifests }: Restored): string {
  const before = from === undefined ? '' : `, and no more to ${from}`
  const count = restoredManifests.length
  const manifests = count === 1 ? '1 manifest was' : `${count} manifests were`
  const brought = count === 0 ? '' : `${manifests} brought back\n`
  return `${repository}:${tag} points to ${digest}${before}\n${brought}`
}
