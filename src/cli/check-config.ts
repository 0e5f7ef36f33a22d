// `keelson check-config`: tells what a configuration means, or everything that is wrong with it.
import { isIP } from 'node:net'
import type { Config } from '../config/schema.ts'
import { formatConfig } from '../config/summary.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'

export const checkConfig: Command = {
  name: 'check-config',
  summary: 'check the configuration and print what it amounts to',
  help: `Prints every effective value, defaults included, as TOML, and warnings about values that are legal
but seldom meant. Exits 1 after listing every problem when the configuration would be refused.
It reads the configuration files alone: it opens no store and no port.`,
  flags: {},
  async run(invocation: Invocation): Promise<number> {
    const files = configFiles(invocation)
    const config = loadOrReport(files, invocation)
    if (config === undefined) return exitCodes.failed
    const { terminal } = invocation
    terminal.out(`${formatConfig(config)}\n`)
    for (const warning of warningsOf(config)) terminal.err(`warning: ${warning}\n`)
    terminal.err(`OK: ${files.join(', ')}\n`)
    return exitCodes.ok
  },
}

/** What is legal and yet seldom meant. */
export function warningsOf(config: Config): readonly string[] {
  const { server, global, blobStore, metadataStore, storage } = config
  const policy = global.accessPolicy
  const isOpen = policy.default === 'allow'
  const isMemory = blobStore.kind === 'memory' || metadataStore.kind === 'memory'
  const warnings: readonly (readonly [applies: boolean, warning: string])[] = [
    [!policy.configured, 'no access policy: everything is denied'],
    [policy.configured && !isOpen, 'the access policy denies everything'],
    [
      isOpen && !isLoopback(server.bindAddress),
      `whoever can reach ${server.bindAddress} may pull, push and delete`,
    ],
    [isMemory, 'a memory store is for tests: its content is lost at exit'],
    [
      storage.durability === 'none',
      'durability is none: a power loss may take content that was acknowledged',
    ],
  ]
  return warnings.flatMap(([applies, warning]) => (applies ? [warning] : []))
}

function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}
