// `keelson policy test` and `keelson policy lint`: what the policies say, and whether they mean it.
import { relative } from 'node:path'
import type { CompiledPolicies } from '../authorize/policy/compile.ts'
import type { Decision, PolicyStep } from '../authorize/policy/decide.ts'
import type { RetentionRules } from '../authorize/policy/retention.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Place } from '../config/source.ts'
import type { Action } from '../route/action.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport, reportProblems } from './configuration.ts'
import { type Asked, describeIdentity, identityHelp, parseIdentity } from './policy-identity.ts'
import {
  describeAction,
  policyName,
  retentionName,
  type ShownAction,
  type ShownPolicy,
  shownStep,
} from './shown-policy.ts'

export const policyTest: Command = {
  name: 'policy test',
  summary: 'say whether the policies allow an action, and why',
  help: `Evaluates every rule for one identity and one action, as the server would, and prints what each
came to and which one decided. Exits 0 when it is allowed and 1 when it is denied.
It reads the configuration files alone: it opens no store and no port.

--as takes key=value pairs with commas between them; without it, the client has not logged in:
${identityHelp}`,
  flags: {},
  options: {
    action: ['ACTION', 'the action, such as get-manifest or put-manifest'],
    as: ['IDENTITY', 'who asks, such as user=ci,groups=dev,cn=host-1,o=Platform,ip=192.0.2.1'],
    claims: ['JSON', 'the claims of the OIDC token, as a JSON object'],
    repository: ['NAME', 'the repository of the action'],
    reference: ['REFERENCE', 'the tag or digest of a manifest; else latest'],
    digest: ['DIGEST', 'the digest of a blob; else one of zeros'],
    from: ['NAME', 'the repository that mount-blob mounts from'],
    'artifact-type': ['TYPE', 'the filter of get-referrers'],
  },
  async run(invocation: Invocation): Promise<number> {
    const { options, terminal } = invocation
    const { sampleAction } = await import('../authorize/policy/sample-action.ts')
    let asked: Asked
    let actions: readonly Action[]
    try {
      const { action: name } = options
      if (name === undefined) throw new Error('policy test needs --action')
      asked = parseIdentity(options['as'] ?? '', options['claims'])
      const { repository, reference, digest, from } = options
      const parts = { repository, reference, digest, from, artifactType: options['artifact-type'] }
      const action = sampleAction(name, parts)
      const source = name === 'mount-blob' && from !== undefined
      // A mount reads its source, so both must be allowed.
      actions = source ? [action, sampleAction('get-blob', { repository: from, digest })] : [action]
    } catch (error) {
      terminal.err(`keelson: ${error instanceof Error ? error.message : String(error)}\n`)
      return exitCodes.usage
    }
    const loaded = await compileOrReport(invocation)
    if (loaded === undefined) return exitCodes.failed
    const { config, policies } = loaded
    const { decide, policiesFor } = await import('../authorize/policy/decide.ts')
    const { identity } = asked
    const clientIp = addressOf(asked)
    const decisions = actions.map((action) =>
      decide(policiesFor(policies, action), { identity, action, clientIp }, () => {}),
    )
    const guards = await Promise.all(actions.map((action) => guardsOf(config, action)))
    const texts = decisions.map((decision, index) =>
      shownDecision(decision, asked, actions[index], guards[index] ?? []),
    )
    terminal.out(texts.join('\n'))
    return decisions.every(({ allowed }) => allowed) ? exitCodes.ok : exitCodes.failed
  },
}

export const policyLint: Command = {
  name: 'policy lint',
  summary: 'look for rules that decide nothing and policies that stand open',
  help: `Names what is legal and yet seldom meant: policies that deny or allow everything, rules that are
constant, repeated or never reached, what clients may do that have not logged in, and retention policies
that keep everything, nothing, or nothing that is fresh.
Exits 1 where there is a warning; notes alone exit 0.`,
  flags: {},
  async run(invocation: Invocation): Promise<number> {
    const loaded = await compileOrReport(invocation)
    if (loaded === undefined) return exitCodes.failed
    const { config, policies, retention } = loaded
    const { lintPolicies } = await import('../authorize/policy/lint.ts')
    const { lintRetention } = await import('../authorize/policy/lint-retention.ts')
    const findings = [
      ...lintPolicies(policies).map((each) => ({ ...each, name: policyName(each.policy) })),
      ...lintRetention(retention, config).map((each) => {
        return { ...each, name: retentionName(each.policy) }
      }),
    ]
    const { terminal } = invocation
    for (const { severity, name, place, message } of findings) {
      const at = place === undefined ? '' : `${shownPlace(place, invocation.cwd)}: `
      terminal.out(`${severity}: ${at}${name}: ${message}\n`)
    }
    if (findings.length === 0) terminal.err('OK\n')
    const isClean = findings.every(({ severity }) => severity === 'note')
    return isClean ? exitCodes.ok : exitCodes.failed
  },
}

interface Loaded {
  readonly config: Config
  readonly policies: CompiledPolicies
  readonly retention: RetentionRules
}

async function compileOrReport(invocation: Invocation): Promise<Loaded | undefined> {
  const config = loadOrReport(configFiles(invocation), invocation)
  if (config === undefined) return undefined
  // Loaded here, so that the other commands start without the policy engine.
  const { compilePolicies } = await import('../authorize/policy/compile.ts')
  const compiled = compilePolicies(config.global.accessPolicy, config.repositories)
  const { compileRetention } = await import('../authorize/policy/retention.ts')
  const retained = compileRetention(config.global.retentionPolicy, config.repositories)
  const { policies } = compiled
  const { rules: retention } = retained
  if (policies !== undefined && retention !== undefined) return { config, policies, retention }
  const problems = [...compiled.problems, ...retained.problems]
  reportProblems(new ConfigError(problems), invocation.terminal)
  return undefined
}

/** The tables of those who are asked about what the policies allow, in order. */
async function guardsOf(config: Config, action: Action): Promise<readonly string[]> {
  const { matching } = await import('../authorize/prefixes.ts')
  const byPrefix = new Map(config.repositories.map((each) => [each.prefix, each]))
  const below = 'repository' in action ? matching(byPrefix, action.repository) : []
  const names = [config.global, ...below].flatMap(({ authorizationWebhook, authorizationOpa }) => [
    ...(authorizationWebhook === undefined ? [] : [`auth.webhook.${authorizationWebhook}`]),
    ...(authorizationOpa === undefined ? [] : [`auth.opa.${authorizationOpa}`]),
  ])
  return [...new Set(names)]
}

function addressOf({ clientIp }: Asked): () => string {
  return () => {
    if (clientIp !== undefined) return clientIp
    throw new Error('the address is not known: give --as ip=…')
  }
}

function shownDecision(
  decision: Decision,
  asked: Asked,
  action: Action | undefined,
  guards: readonly string[],
): string {
  const title = `${describeIdentity(asked)}: ${action === undefined ? '' : describeAction(actionParts(action))}\n`
  const parts = [
    title,
    ...decision.steps.map((step) => shownStep(toShow(step))),
    `${conclusion(decision, asked, guards)}\n`,
  ]
  return parts.join('\n')
}

function actionParts(action: Action): ShownAction {
  const reference = 'reference' in action ? action.reference : undefined
  const name = reference?.kind === 'tag' ? reference.tag : reference?.digest
  return {
    action: action.kind,
    repository: 'repository' in action ? action.repository : undefined,
    reference: name,
  }
}

function toShow({ policy, default: fallback, allowed, rules, decidedBy }: PolicyStep): ShownPolicy {
  return {
    ...{ policy, default: fallback, allowed },
    rules: rules.map(({ rule, outcome, error }) => {
      const { text, place } = rule
      return { text, place: `line ${place.line}`, outcome, error, decides: rule === decidedBy }
    }),
  }
}

function conclusion(
  { allowed, steps }: Decision,
  { identity }: Asked,
  guards: readonly string[],
): string {
  if (allowed && guards.length > 0) {
    return `ALLOWED by the policies; a server also asks ${guards.join(', ')}`
  }
  if (allowed) return 'ALLOWED'
  const status = identity.authMethod === 'anonymous' ? 401 : 403
  const last = steps.at(-1)
  const by = last === undefined ? 'there is no global policy' : `by the ${policyName(last.policy)}`
  return `DENIED (${status}): ${by}`
}

// As a person in that folder would write it.
function shownPlace({ file, line }: Place, cwd: string): string {
  const near = relative(cwd, file)
  return `${near.length < file.length ? near : file}:${line}`
}
