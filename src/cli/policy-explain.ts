// `keelson policy explain`: why the running server refused a request, by the id that the client got.
import { askServer } from './ask-server.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { describeAction, policyName, type ShownPolicy, shownStep } from './shown-policy.ts'

export const policyExplain: Command = {
  name: 'policy explain',
  summary: 'say why a request was refused, by its decision id',
  help: `DECISION-ID is what the refused client was told as decisionId. Asks the running server, which remembers
the last 4,096 denials: who asked for what, every rule with what it came to, the one that decided, and what
webhooks and OPA answered. The client is never told any of it.`,
  argument: 'DECISION-ID',
  flags: { json: 'print one JSON object' },
  async run(invocation: Invocation): Promise<number> {
    const { argument: id, flags, terminal } = invocation
    if (id === undefined) {
      terminal.err('keelson: policy explain needs a decision id\n')
      return exitCodes.usage
    }
    const trace = await askServer(invocation, `/decisions?id=${encodeURIComponent(id)}`)
    if (trace === undefined) return exitCodes.failed
    const text = flags.has('json') ? JSON.stringify(trace, undefined, 2) : shown(trace as Trace)
    terminal.out(`${harmless(text)}\n`)
    return exitCodes.ok
  },
}

// A User-Agent may hold what terminals obey, such as U+009B; both forms are read on one. The escapes are
// those of JSON.
function harmless(text: string): string {
  return text.replace(/[^\P{C}\n]/gu, (found) =>
    Array.from({ length: found.length }, (_, i) => {
      return `\\u${found.charCodeAt(i).toString(16).padStart(4, '0')}`
    }).join(''),
  )
}

// As the admin interface of the same version answers.
interface Trace {
  readonly decision_id: string
  readonly time: string
  readonly action: string | null
  readonly repository: string | null
  readonly reference?: string
  readonly digest?: string
  readonly identity: Identity | null
  readonly client_ip: string
  readonly method: string
  readonly path: string
  readonly user_agent: string
  readonly policies: readonly TracePolicy[]
  readonly guards: readonly TraceGuard[]
  readonly reason: string | null
  readonly message: string | null
}

interface Identity {
  readonly id: string | null
  readonly username: string | null
  readonly groups: readonly string[]
  readonly auth_method: string
  readonly token_id: string | null
  readonly certificate: { readonly common_names: readonly string[] } | null
}

interface TracePolicy extends Omit<ShownPolicy, 'rules'> {
  readonly rules: readonly {
    readonly text: string
    readonly file: string
    readonly line: number
    readonly outcome: string
    readonly error: string | null
    readonly decides: boolean
  }[]
}

interface TraceGuard {
  readonly guard: string
  readonly result: string
  readonly reason: string | null
  readonly decision_id: string | null
  readonly cached: boolean
}

function shown(trace: Trace): string {
  const { action, repository, reference, digest, policies, guards } = trace
  const what =
    action === null ? '' : describeAction({ action, repository, reference: reference ?? digest })
  const title = [
    `decision ${trace.decision_id}, ${trace.time}`,
    `${describeIdentity(trace.identity)} from ${trace.client_ip}: ${what}`,
    `${trace.method} ${trace.path}  ${trace.user_agent}`,
    '',
  ].join('\n')
  const asked = guards.length === 0 ? [] : [guards.map(shownGuard).join('')]
  return [title, ...policies.map(shownPolicy), ...asked, conclusion(trace)].join('\n')
}

function describeIdentity(identity: Identity | null): string {
  if (identity === null) return 'somebody unknown'
  const { id, username, groups, auth_method: method, token_id: token, certificate } = identity
  const parts = [
    ...(username === null ? [] : [`user=${username}`]),
    ...(id === null ? [] : [`id=${id}`]),
    ...groups.map((group) => `groups=${group}`),
    ...(certificate?.common_names ?? []).map((name) => `cn=${name}`),
    ...(token === null ? [] : [`token ${token}`]),
  ]
  return parts.length === 0 ? method : `${parts.join(',')} (${method})`
}

function shownPolicy({ rules, ...policy }: TracePolicy): string {
  return shownStep({
    ...policy,
    rules: rules.map((rule) => ({ ...rule, place: `${rule.file}:${rule.line}` })),
  })
}

function shownGuard({ guard, result, reason, decision_id: id, cached }: TraceGuard): string {
  const more = [
    ...(cached ? ['from the cache'] : []),
    ...(reason === null ? [] : [reason]),
    ...(id === null ? [] : [`its decision ${id}`]),
  ]
  return `${guard}\n  ${[result, ...more].join(', ')}\n`
}

function conclusion({ policies, guards, reason, message }: Trace): string {
  if (reason !== null) return `REFUSED: ${reason}${message === null ? '' : ` (${message})`}`
  const guard = guards.at(-1)
  if (guard !== undefined) return `DENIED: by ${guard.guard}`
  const last = policies.at(-1)
  return `DENIED: ${last === undefined ? 'there is no global policy' : `by the ${policyName(last.policy)}`}`
}
