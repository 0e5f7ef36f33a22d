// The table of commands, and the one place that understands the command line.
import { parseArgs } from 'node:util'
import { nearestName } from '../config/hint.ts'
import { checkConfig } from './check-config.ts'
import { type Command, exitCodes, type Terminal } from './command.ts'
import { doctor } from './doctor.ts'
import { commandHelp, generalHelp } from './help.ts'
import { server } from './serve.ts'
import { productVersion } from './version.ts'

/** Every command of this version. */
export const commands: readonly Command[] = [server, checkConfig, doctor]

interface CommandLine {
  readonly files: readonly string[]
  readonly flags: ReadonlySet<string>
  readonly words: readonly string[]
}

/**
 * Run one command line, without the name of the program, and resolve to its exit code.
 */
export async function runCommandLine(
  args: readonly string[],
  terminal: Terminal,
  cwd: string = process.cwd(),
): Promise<number> {
  const line = parseLine(args)
  if (typeof line === 'string') return refuse(line, terminal)
  const { files, words } = line
  const flags = new Set(line.flags)
  if (flags.delete('version')) {
    terminal.out(`keelson ${productVersion()}\n`)
    return exitCodes.ok
  }
  const wantsHelp = flags.delete('help')
  const [name, surplus] = words
  const command = commands.find((candidate) => candidate.name === name)
  if (command === undefined) {
    if (name !== undefined) return refuse(unknownCommand(name), terminal)
    if (!wantsHelp) return refuse('a command is missing', terminal)
    terminal.out(generalHelp(commands))
    return exitCodes.ok
  }
  if (wantsHelp) {
    terminal.out(commandHelp(command))
    return exitCodes.ok
  }
  if (surplus !== undefined) return refuse(`${name} takes no argument '${surplus}'`, terminal)
  const foreign = [...flags].find((flag) => !Object.hasOwn(command.flags, flag))
  if (foreign !== undefined) return refuse(`${name} takes no option '--${foreign}'`, terminal)
  return command.run({ files, flags, cwd, terminal })
}

function parseLine(args: readonly string[]): CommandLine | string {
  const ownFlags = commands.flatMap((command) => Object.keys(command.flags))
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: 'string', short: 'c', multiple: true },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
        ...Object.fromEntries(ownFlags.map((flag) => [flag, { type: 'boolean' as const }])),
      },
    })
    const { config = [], ...rest } = values
    return { files: config, flags: new Set(Object.keys(rest)), words: positionals }
  } catch (error) {
    // Node's message is one or two sentences; the first says what was not understood.
    if (error instanceof Error && 'code' in error) return error.message.split('. ', 1)[0] ?? ''
    throw error
  }
}

function unknownCommand(name: string): string {
  const nearest = nearestName(
    name,
    commands.map((command) => command.name),
  )
  return `'${name}' is not a command${nearest === undefined ? '' : `: did you mean '${nearest}'?`}`
}

function refuse(message: string, terminal: Terminal): number {
  terminal.err(`keelson: ${message}\nTry 'keelson --help'.\n`)
  return exitCodes.usage
}
