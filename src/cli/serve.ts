// `keelson server`: chooses the configuration, then hands over to the server.
import cluster from 'node:cluster'
import { loadConfig, quickStartConfig } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import { processCount } from '../supervise/process-config.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport, reportProblems } from './configuration.ts'

const quickStartNotice =
  'No configuration file: serving ./data. Whoever can reach the address below may pull, push and delete.'

export const server: Command = {
  name: 'server',
  summary: 'serve the registry until SIGTERM or SIGINT',
  help: `Listens where [server] says and stops gracefully on SIGTERM or SIGINT: it takes no new requests and
gives those in flight server.shutdown_timeout to end. A second
signal ends it at once.`,
  flags: {
    'quick-start':
      'without -c and ./config.toml, serve ./data on 127.0.0.1:8000, open to all who reach it',
  },
  async run(invocation: Invocation): Promise<number> {
    // Sent early these would end the process, and SIGUSR1 open a port for a debugger, at any time.
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})
    const files = configFiles(invocation)
    if (cluster.isWorker) return serveSupervised(files, invocation)
    const quick = files.length === 0 && invocation.flags.has('quick-start')
    const config = quick ? quickStartConfig(invocation.cwd) : loadOrReport(files, invocation)
    if (config === undefined) return exitCodes.failed
    const count = processCount(config.server.processes)
    if (count > 1) {
      const { runSupervisor } = await import('./supervisor.ts')
      return runSupervisor(config, count, files)
    }
    // Loaded here, so that the other commands start without native addons.
    const { runServer } = await import('./server.ts')
    return runServer(config, {
      files,
      load: () => (quick ? quickStartConfig(invocation.cwd) : loadConfig(files)),
      ...(quick ? { notice: quickStartNotice } : {}),
    })
  },
}

// One of several processes: the supervisor has read the configuration.
async function serveSupervised(
  files: readonly string[],
  { terminal }: Invocation,
): Promise<number> {
  const { connectToSupervisor } = await import('../supervise/child.ts')
  const [link, { runServer }] = await Promise.all([connectToSupervisor(), import('./server.ts')])
  const load = (): Config => link.config()
  try {
    return await runServer(load(), { files, load, link })
  } catch (error) {
    // A secret that was there when the configuration was accepted, and is no more.
    if (!(error instanceof ConfigError)) throw error
    reportProblems(error, terminal)
    link.failed()
    return exitCodes.failed
  }
}
