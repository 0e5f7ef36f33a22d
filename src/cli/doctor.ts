// `keelson doctor`: tells what on this machine would trouble a server with this configuration.
import { availableParallelism, networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import { nodeReason } from '../config/compose-server.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Surroundings } from '../doctor/facts.ts'
import { askAdmin } from './admin-client.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'

const statusMs = 2000

export const doctor: Command = {
  name: 'doctor',
  summary: 'check this machine and what the configuration names',
  help: `Looks at the configuration, the TLS files, who may read files with secrets, the disks and file
systems of the stores, memory, limits, the kernel and the clock; measures hashing, encryption and syncs
for less than two seconds; and asks Redis, OIDC, webhooks, OPA, LDAP, the collector of traces and other
registries whether they answer. It says why each finding matters and what to do. It changes nothing.
Run it as the user of the server, whose permissions it then sees.
Exits 2 where something is wrong, 1 where there are warnings, and 0 else.`,
  flags: {
    json: 'print the findings as one JSON object',
    quick: 'measure nothing, and ask no other service',
  },
  options: {
    'clock-url': ['URL', 'compare the clock with the Date that this server answers'],
  },
  async run(invocation: Invocation): Promise<number> {
    const { terminal, flags, options } = invocation
    const clockUrl = options['clock-url']
    if (clockUrl !== undefined && !isHttp(clockUrl)) {
      terminal.err('keelson: --clock-url needs a URL that begins with http:// or https://\n')
      return exitCodes.usage
    }
    const files = configFiles(invocation)
    const config = flags.has('json')
      ? await loadOrTell(files, invocation)
      : loadOrReport(files, invocation)
    // The worst that there is to find: the server does not start.
    if (config === undefined) return exitCodes.usage
    // Loaded here, so that the other commands start without them.
    const { examine } = await import('../doctor/examine.ts')
    const { exitCodeOf, jsonReport, textReport } = await import('../doctor/report.ts')
    const around = await surroundings(config, files, {
      clockUrl: clockUrl === undefined ? undefined : new URL(clockUrl),
      isQuick: flags.has('quick'),
      cwd: invocation.cwd,
    })
    const findings = await examine(config, around)
    terminal.out(flags.has('json') ? jsonReport(findings) : textReport(findings))
    return exitCodeOf(findings)
  },
}

/** What is refused is a finding, too: whoever reads JSON reads nothing else. */
async function loadOrTell(
  files: readonly string[],
  invocation: Invocation,
): Promise<Config | undefined> {
  let told = ''
  const terminal = { ...invocation.terminal, err: (text: string) => (told += text) }
  const config = loadOrReport(files, { ...invocation, terminal })
  if (config !== undefined) return config
  const { refusedFindings } = await import('../doctor/check/configuration.ts')
  const { jsonReport } = await import('../doctor/report.ts')
  invocation.terminal.out(jsonReport(refusedFindings(told)))
  return undefined
}

interface Asked {
  readonly clockUrl: URL | undefined
  readonly isQuick: boolean
  readonly cwd: string
}

async function surroundings(
  config: Config,
  files: readonly string[],
  { cwd, ...asked }: Asked,
): Promise<Surroundings> {
  const { openHost } = await import('../doctor/host.ts')
  const { uwsCaution, uwsProblem } = await import('../server/transport/uws/listen.ts')
  return {
    ...asked,
    host: openHost(),
    files: files.map((file) => resolve(cwd, file)),
    problems: [...(await problemsOf(config, files)), ...(await problemsOfStores(config))],
    sampled: await sampledBlobs(config),
    uwsProblem,
    uwsCaution,
    isForUws: (listener) => nodeReason(listener, config.tls) === undefined,
    serverPid: await runningPid(config.admin.socket),
    cores: availableParallelism(),
    addresses: addressesHere(),
    architecture: process.arch,
    env: process.env,
    uid: process.getuid?.() ?? 0,
    now: Date.now,
  }
}

// Those of the TLS files are findings of their own.
async function problemsOf(config: Config, files: readonly string[]): Promise<readonly string[]> {
  const { checkEdge } = await import('./check-edge.ts')
  const { problems } = await checkEdge(config, files, Date.now)
  const others = problems.filter(({ key }: ConfigProblem) => !key.startsWith('server.tls.'))
  return others.map((problem) => new ConfigError([problem]).message)
}

async function sampledBlobs(config: Config): Promise<Surroundings['sampled']> {
  const { sampleBlobs } = await import('../runtime/encryption.ts')
  // Another user may not look: the problems tell of what keeps the server from it.
  return sampleBlobs(config).catch(() => undefined)
}

// Told here as a start would tell it.
async function problemsOfStores(config: Config): Promise<readonly string[]> {
  const { pairingProblem } = await import('../runtime/pairing.ts')
  const { encryptionProblem } = await import('../runtime/encryption.ts')
  return [
    ...(await problemOf(() => pairingProblem(config))),
    ...(await problemOf(() => encryptionProblem(config))),
  ]
}

async function problemOf(ask: () => Promise<string | undefined>): Promise<readonly string[]> {
  try {
    const problem = await ask()
    return problem === undefined ? [] : [problem]
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const { cause } = error
    // Who may not look there is not the user of the server.
    const isForbidden = cause instanceof Error && 'code' in cause && cause.code === 'EACCES'
    return isForbidden ? [] : [error.message]
  }
}

async function runningPid(socket: string | undefined): Promise<number | undefined> {
  if (socket === undefined) return undefined
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((settle) => {
    timer = setTimeout(settle, statusMs, undefined)
  })
  try {
    const answer = await Promise.race([askAdmin(socket, '/status'), late])
    const { pid } = { ...(answer?.body as { readonly pid?: unknown } | undefined) }
    return typeof pid === 'number' ? pid : undefined
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

function addressesHere(): ReadonlySet<string> | undefined {
  try {
    const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
    return new Set(all.map(({ address }) => address))
  } catch {
    // Where the kernel does not tell, as under some confinements.
    return undefined
  }
}

function isHttp(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}
