// Debian's docker-registry (Distribution 2.8), on its filesystem driver with its in-memory
// descriptor cache and no access log.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, programSays, startServer, stopServer, untilReady } from '../children.ts'
import type { Origin, Server, StartContext, Subject } from '../contract.ts'
import { answers, freePort } from '../free-port.ts'
import { pushContent, verifyContent } from '../load/seed.ts'

function configuration(root: string, port: number): string {
  return `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: ${root}
http:
  addr: 127.0.0.1:${port}
`
}

async function start({ directory, serverCores }: StartContext): Promise<Server> {
  const port = await freePort()
  const origin: Origin = { port, credentials: undefined }
  const root = join(directory, 'store')
  const blobRoot = join(root, 'docker/registry/v2/blobs')
  const configFile = join(directory, 'registry.yml')
  const logFile = join(directory, 'log')
  mkdirSync(blobRoot, { recursive: true })
  writeFileSync(configFile, configuration(root, port))
  const command = [findProgram('docker-registry') ?? 'docker-registry', 'serve', configFile]
  const child = startServer(serverCores, command, logFile)
  await untilReady(child, logFile, () => answers(origin))
  return {
    kind: 'server',
    name: 'docker-registry',
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

export const dockerRegistry: Subject = {
  name: 'docker-registry',
  version: () => programSays('docker-registry', '--version')?.split(' ').at(-1),
  start,
}
