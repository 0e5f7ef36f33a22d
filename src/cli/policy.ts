// `keelson policy test` and `keelson policy lint`: what the policies say, and whether they mean it.
import { relative } from 'node:path'
import type { CompiledPolicies } from '../authorize/policy/compile.ts'
import type { Decision, PolicyStep, RuleStep } from '../authorize/policy/decide.ts'
import { ConfigError } from '../config/problem.ts'
import type { Place } from '../config/source.ts'
import type { Action } from '../route/action.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport, reportProblems } from './configuration.ts'
import { type Asked, describeIdentity, identityHelp, parseIdentity } from './policy-identity.ts'

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
    const policies = await compileOrReport(invocation)
    if (policies === undefined) return exitCodes.failed
    const { decide, policiesFor } = await import('../authorize/policy/decide.ts')
    const { identity } = asked
    const clientIp = addressOf(asked)
    const decisions = actions.map((action) =>
      decide(policiesFor(policies, action), { identity, action, clientIp }, () => {}),
    )
    const texts = decisions.map((decision, index) => shownDecision(decision, asked, actions[index]))
    terminal.out(texts.join('\n'))
    return decisions.every(({ allowed }) => allowed) ? exitCodes.ok : exitCodes.failed
  },
}

export const policyLint: Command = {
  name: 'policy lint',
  summary: 'look for rules that decide nothing and policies that stand open',
  help: `Names what is legal and yet seldom meant: policies that deny or allow everything, rules that are
constant, repeated or never reached, and what clients may do that have not logged in.
Exits 1 where there is a warning; notes alone exit 0.`,
  flags: {},
  async run(invocation: Invocation): Promise<number> {
    const policies = await compileOrReport(invocation)
    if (policies === undefined) return exitCodes.failed
    const { lintPolicies } = await import('../authorize/policy/lint.ts')
    const findings = lintPolicies(policies)
    const { terminal } = invocation
    for (const { severity, policy, place, message } of findings) {
      const at = place === undefined ? '' : `${shownPlace(place, invocation.cwd)}: `
      terminal.out(`${severity}: ${at}${policyName(policy)}: ${message}\n`)
    }
    if (findings.length === 0) terminal.err('OK\n')
    const isClean = findings.every(({ severity }) => severity === 'note')
    return isClean ? exitCodes.ok : exitCodes.failed
  },
}

async function compileOrReport(invocation: Invocation): Promise<CompiledPolicies | undefined> {
  const config = loadOrReport(configFiles(invocation), invocation)
  if (config === undefined) return undefined
  // Loaded here, so that the other commands start without the policy engine.
  const { compilePolicies } = await import('../authorize/policy/compile.ts')
  const compiled = compilePolicies(config.global.accessPolicy, config.repositories)
  if (compiled.policies === undefined) {
    reportProblems(new ConfigError(compiled.problems), invocation.terminal)
  }
  return compiled.policies
}

function addressOf({ clientIp }: Asked): () => string {
  return () => {
    if (clientIp !== undefined) return clientIp
    throw new Error('the address is not known: give --as ip=…')
  }
}

function shownDecision(decision: Decision, asked: Asked, action: Action | undefined): string {
  const title = `${describeIdentity(asked)}: ${action === undefined ? '' : describeAction(action)}\n`
  const parts = [title, ...decision.steps.map(shownStep), `${conclusion(decision, asked)}\n`]
  return parts.join('\n')
}

function describeAction(action: Action): string {
  const repository = 'repository' in action ? ` ${action.repository}` : ''
  if (!('reference' in action)) return `${action.kind}${repository}`
  const { reference } = action
  return `${action.kind}${repository} ${reference.kind === 'tag' ? reference.tag : reference.digest}`
}

function shownStep(step: PolicyStep): string {
  const rules = step.rules.map((rule) => shownRule(rule, step))
  const last = step.decidedBy === undefined ? `  no rule holds: ${verdict(step)} by default\n` : ''
  return `${policyName(step.policy)}, default ${step.default}\n${rules.join('')}${last}`
}

function shownRule({ rule, outcome, error }: RuleStep, step: PolicyStep): string {
  const mark = step.decidedBy === rule ? `  ← decides: ${verdict(step)}` : ''
  const text = rule.text.trim().replaceAll(/\s*\n\s*/g, ' ')
  const line = `  ${outcome.padEnd(9)}  line ${rule.place.line}: ${text}${mark}\n`
  return error === undefined ? line : `${line}             ${error}\n`
}

function verdict({ allowed }: PolicyStep): string {
  return allowed ? 'allowed' : 'denied'
}

function policyName(policy: string): string {
  return policy === 'global' ? 'global policy' : `policy of repository "${policy}"`
}

function conclusion({ allowed, steps }: Decision, { identity }: Asked): string {
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
