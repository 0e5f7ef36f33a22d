// `keelson check-config`: tells what a configuration means, or everything that is wrong with it.
import { isIP } from 'node:net'
import { nodeReason } from '../config/compose-server.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import { formatConfig } from '../config/summary.ts'
import { checkEdge } from './check-edge.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport, reportProblems } from './configuration.ts'

export const checkConfig: Command = {
  name: 'check-config',
  summary: 'check the configuration and print what it amounts to',
  help: `Prints every effective value, defaults included, as TOML, and warnings about values that are legal
but seldom meant. Exits 1 after listing every problem when the configuration would be refused.
It compiles the policies and reads the TLS files too, but it opens no store and no port.`,
  flags: {},
  async run(invocation: Invocation): Promise<number> {
    const files = configFiles(invocation)
    const config = loadOrReport(files, invocation)
    if (config === undefined) return exitCodes.failed
    const { terminal } = invocation
    const { problems, warnings } = await checkEdge(config, files, Date.now)
    if (problems.length > 0) {
      reportProblems(new ConfigError(problems), terminal)
      return exitCodes.failed
    }
    terminal.out(`${formatConfig(config)}\n`)
    for (const warning of [...warningsOf(config), ...warnings]) {
      terminal.err(`warning: ${warning}\n`)
    }
    terminal.err(`OK: ${files.join(', ')}\n`)
    return exitCodes.ok
  },
}

/** What is legal and yet seldom meant. */
export function warningsOf(config: Config): readonly string[] {
  const { blobStore, metadataStore, storage } = config
  const isMemory = blobStore.kind === 'memory' || metadataStore.kind === 'memory'
  const warnings: readonly (readonly [applies: boolean, warning: string])[] = [
    [isMemory, 'a memory store is for tests: its content is lost at exit'],
    [
      storage.durability === 'none',
      'durability is none: a power loss may take content that was acknowledged',
    ],
  ]
  const others = warnings.flatMap(([applies, warning]) => (applies ? [warning] : []))
  return [...policyWarnings(config), ...tlsWarnings(config), ...others]
}

function policyWarnings({ global, listeners, repositories, tls }: Config): readonly string[] {
  const policy = global.accessPolicy
  if (policy === undefined) {
    const given = repositories.some(({ accessPolicy }) => accessPolicy !== undefined)
    return [
      given
        ? 'no [global.access_policy]: everything is denied, since a repository policy can only narrow what the global policy allows'
        : 'no access policy: everything is denied',
    ]
  }
  if (policy.rules.length > 0) return []
  if (policy.default === 'deny') return ['the access policy denies everything']
  const isRequired = tls?.clientCaBundle !== undefined && tls.clientAuth === 'required'
  return listeners.flatMap((listener) =>
    listener.kind === 'tcp' && !isLoopback(listener.address) && !(listener.tls && isRequired)
      ? [`whoever can reach ${listener.address} may pull, push and delete`]
      : [],
  )
}

function tlsWarnings({ listeners, server, tls }: Config): readonly string[] {
  if (tls === undefined) return []
  const secure = listeners.filter((listener) => listener.tls)
  const isUws =
    server.transport !== 'node' && secure.some((each) => nodeReason(each, tls) === undefined)
  const { ocspResponse: ocsp_response, sessionTicketSecret: session_ticket_secret } = tls
  const nodeOnly = isUws ? Object.entries({ ocsp_response, session_ticket_secret }) : []
  return [
    ...(secure.length === 0 ? ['no listener uses [server.tls]: nothing is encrypted'] : []),
    ...nodeOnly.flatMap(([key, path]) =>
      path === undefined ? [] : [`server.tls.${key} needs server.transport = "node"`],
    ),
  ]
}

function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}
