// A registry of somebody else as a subject: its own program on an empty directory of the bench, open
// to loopback, without an access log.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startServer, stopServer, untilReady } from '../children.ts'
import type { Origin, ReferenceName, Server, StartContext, Subject } from '../contract.ts'
import { answers, freePort } from '../free-port.ts'
import { pushContent, verifyContent } from '../load/seed.ts'

export interface RegistryPlan {
  readonly name: ReferenceName
  /** Path of its program; undefined where there is none. */
  readonly program: () => string | undefined
  readonly version: () => string | undefined
  /** Text of its configuration file. `root`: an empty directory for all that it stores. */
  readonly configuration: (root: string, port: number) => string
  /** What stands before, and behind, the program on its command line. */
  readonly command: (program: string, configFile: string) => readonly string[]
  /** Where its blobs are, below `root`. */
  readonly blobs: string
  /** Which files there `reclaim` may delete; those named `data` by default. */
  readonly isBlob?: (path: string) => boolean
}

async function start(plan: RegistryPlan, context: StartContext): Promise<Server> {
  const { directory, serverCores } = context
  const program = plan.program()
  if (program === undefined) throw new Error(`${plan.name} is not installed`)
  const port = await freePort()
  const origin: Origin = { port, credentials: undefined }
  const root = join(directory, 'store')
  const blobRoot = join(root, plan.blobs)
  const configFile = join(directory, 'configuration')
  const logFile = join(directory, 'log')
  mkdirSync(blobRoot, { recursive: true })
  writeFileSync(configFile, plan.configuration(root, port))
  const child = startServer(serverCores, plan.command(program, configFile), logFile)
  await untilReady(child, logFile, () => answers(origin))
  return {
    kind: 'server',
    name: plan.name,
    ...origin,
    pid: child.pid ?? 0,
    blobRoot,
    ...(plan.isBlob === undefined ? {} : { isBlob: plan.isBlob }),
    load: async (content) => {
      await pushContent(origin, content)
      await verifyContent(origin, content)
    },
    stop: () => stopServer(child),
  }
}

export function registry(plan: RegistryPlan): Subject {
  return {
    name: plan.name,
    version: plan.version,
    start: (context) => start(plan, context),
  }
}
