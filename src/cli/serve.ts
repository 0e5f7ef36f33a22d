// `keelson server`: chooses the configuration, then hands over to the server.
import { quickStartConfig } from '../config/load.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'

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
    // A reload may be asked for at once, and would end a process that has no handler yet.
    process.on('SIGHUP', () => {})
    const files = configFiles(invocation)
    const quick = files.length === 0 && invocation.flags.has('quick-start')
    const config = quick ? quickStartConfig(invocation.cwd) : loadOrReport(files, invocation)
    if (config === undefined) return exitCodes.failed
    // Loaded here, so that the other commands start without native addons.
    const { runServer } = await import('./server.ts')
    return runServer(config, quick ? quickStartNotice : undefined)
  },
}
