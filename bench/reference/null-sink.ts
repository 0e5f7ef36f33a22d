// A server that discards pushes: what the push driver reaches against it is the driver's ceiling.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer, stopServer, untilReady } from '../children.ts'
import type { Origin, Server, StartContext, Subject } from '../contract.ts'
import { answers, freePort } from '../free-port.ts'

async function start({ directory, serverCores }: StartContext): Promise<Server> {
  const port = await freePort()
  const origin: Origin = { port, credentials: undefined }
  const logFile = join(directory, 'log')
  // This file and the program have the same extension, built or not.
  const own = fileURLToPath(import.meta.url)
  const program = own.replace(/reference([/\\]null-sink\.[jt]s)$/, 'load$1')
  const child = startServer(serverCores, [process.execPath, program, String(port)], logFile)
  await untilReady(child, logFile, () => answers(origin))
  return {
    kind: 'server',
    name: 'null-sink',
    ...origin,
    pid: child.pid ?? 0,
    blobRoot: undefined,
    load: async () => undefined,
    stop: () => stopServer(child),
  }
}

export const nullSink: Subject = { name: 'null-sink', version: () => process.version, start }
