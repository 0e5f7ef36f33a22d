// Keelson itself as a subject: its own bin on an empty store, open to loopback, fsync on.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { startServer, stopServer, untilReady } from './children.ts'
import type { Origin, Server, StartContext, Subject, TlsFiles } from './contract.ts'
import { answers, freePort } from './free-port.ts'
import { authorizationFor, guardTables } from './guard.ts'
import { pushContent, verifyContent } from './load/seed.ts'

/** The program under test: `bin/keelson` of the clone, or of another build to compare with. */
export function keelsonProgram(): string {
  return resolve(process.env['KEELSON_BIN'] ?? 'bin/keelson')
}

function programCommand(): readonly string[] {
  const program = keelsonProgram()
  return program.endsWith('.js') ? [process.execPath, program] : [program]
}

function tlsSection(tls: TlsFiles | undefined): string {
  if (tls === undefined) return ''
  const lines = [
    '',
    '[server.tls]',
    `server_certificate_bundle = ${JSON.stringify(tls.certificateFile)}`,
    `server_private_key = ${JSON.stringify(tls.keyFile)}`,
  ]
  if (tls.clientCaFile !== undefined) {
    lines.push(`client_ca_bundle = ${JSON.stringify(tls.clientCaFile)}`)
    lines.push(`client_auth = "${tls.clientAuth}"`)
  }
  return `${lines.join('\n')}\n`
}

function configuration(root: string, port: number, context: StartContext): string {
  const { guard = 'open', processes = 1, settings = '', tls } = context
  return `[server]
bind_address = "127.0.0.1"
port = ${port}
processes = ${processes}
${tlsSection(tls)}
[blob_store.fs]
root_dir = ${JSON.stringify(root)}
${guardTables(guard)}
${settings}`
}

/**
 * Start Keelson in `context.directory`; `command` stands before the arguments and is the program
 * itself unless a profiler wants Node flags there.
 * Errors: Error with the end of its log when it does not serve within 30 s.
 */
export async function startKeelson(
  context: StartContext,
  command: readonly string[] = programCommand(),
): Promise<Server> {
  const { directory, serverCores, tls } = context
  const port = await freePort()
  const bare: Origin = { port, credentials: tls?.credentials }
  const root = join(directory, 'store')
  const blobRoot = join(root, 'blobs')
  const configFile = join(directory, 'keelson.toml')
  const logFile = join(directory, 'log')
  mkdirSync(root, { recursive: true })
  writeFileSync(configFile, configuration(root, port, context))
  const child = startServer(serverCores, [...command, '-c', configFile, 'server'], logFile)
  await untilReady(child, logFile, () => answers(bare))
  const authorization = await authorizationFor(context.guard ?? 'open', bare)
  const origin: Origin = authorization === undefined ? bare : { ...bare, authorization }
  return {
    kind: 'server',
    name: 'keelson',
    ...origin,
    pid: child.pid ?? 0,
    blobRoot,
    load: async (content) => {
      await pushContent(origin, content)
      await verifyContent(origin, content)
    },
    stop: () => stopServer(child),
  }
}

export const keelson: Subject = {
  name: 'keelson',
  version: () => (existsSync(keelsonProgram()) ? process.version : undefined),
  start: (context) => startKeelson(context),
}
