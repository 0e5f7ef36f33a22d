// The table of commands, and the one place that understands the command line.
import { parseArgs } from 'node:util'
import { nearestName } from '../config/hint.ts'
import { argon } from './argon.ts'
import { auditVerify } from './audit.ts'
import { backupCreate, backupList, backupPrune, backupRestore, backupVerify } from './backup.ts'
import { blobsRewrap } from './blobs.ts'
import { checkConfig } from './check-config.ts'
import { type Command, exitCodes, type Terminal } from './command.ts'
import { doctor } from './doctor.ts'
import { exportCommand } from './export.ts'
import { gc, gcList, gcRestore } from './gc.ts'
import { commandHelp, generalHelp } from './help.ts'
import { importCommand } from './import.ts'
import { jobs, jobsStop } from './jobs.ts'
import { migrate } from './migrate.ts'
import { policyLint, policyTest } from './policy.ts'
import { policyExplain } from './policy-explain.ts'
import { prune } from './prune.ts'
import { scrub } from './scrub.ts'
import { server } from './serve.ts'
import { tagHistory, tagRestore } from './tag.ts'
import { tokenCreate, tokenList, tokenRevoke } from './token.ts'
import { productVersion } from './version.ts'

/** Every command of this version. */
export const commands: readonly Command[] = [
  server,
  checkConfig,
  doctor,
  argon,
  policyTest,
  policyLint,
  policyExplain,
  auditVerify,
  tokenCreate,
  tokenList,
  tokenRevoke,
  backupCreate,
  backupList,
  backupVerify,
  backupPrune,
  backupRestore,
  gcList,
  gcRestore,
  gc,
  scrub,
  blobsRewrap,
  prune,
  tagHistory,
  tagRestore,
  importCommand,
  exportCommand,
  migrate,
  jobsStop,
  jobs,
]

interface CommandLine {
  readonly files: readonly string[]
  readonly flags: ReadonlySet<string>
  readonly options: Readonly<Record<string, readonly string[]>>
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
  const command = commandOf(words)
  if (command === undefined) {
    if (words[0] !== undefined) return refuse(unknownCommand(words), terminal)
    if (!wantsHelp) return refuse('a command is missing', terminal)
    terminal.out(generalHelp(commands))
    return exitCodes.ok
  }
  if (wantsHelp) {
    terminal.out(commandHelp(command))
    return exitCodes.ok
  }
  const { name } = command
  const rest = words.slice(name.split(' ').length)
  const surplus = rest[command.argument === undefined ? 0 : 1]
  if (surplus !== undefined && command.takesSeveral !== true)
    return refuse(`${name} takes no argument '${surplus}'`, terminal)
  const own = { ...command.flags, ...command.options }
  const given = [...flags, ...Object.keys(line.options)]
  const foreign = given.find((option) => !Object.hasOwn(own, option))
  if (foreign !== undefined) return refuse(`${name} takes no option '--${foreign}'`, terminal)
  const { repeatable = [] } = command
  const options: Record<string, string> = {}
  for (const [option, values] of Object.entries(line.options)) {
    // The last one would win silently otherwise.
    const isSurplus = values.length > 1 && !repeatable.includes(option)
    if (isSurplus) return refuse(`--${option} can be given only once`, terminal)
    options[option] = values.join(' ')
  }
  return command.run({ files, flags, options, argument: rest[0], words: rest, cwd, terminal })
}

function commandOf(words: readonly string[]): Command | undefined {
  const pair = words.slice(0, 2).join(' ')
  return commands.find(({ name }) => name === pair || name === words[0])
}

function parseLine(args: readonly string[]): CommandLine | string {
  const ownFlags = commands.flatMap((command) => Object.keys(command.flags))
  const ownOptions = commands.flatMap((command) => Object.keys(command.options ?? {}))
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: 'string', short: 'c', multiple: true },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
        ...Object.fromEntries(ownFlags.map((flag) => [flag, { type: 'boolean' as const }])),
        ...Object.fromEntries(
          ownOptions.map((option) => [option, { type: 'string' as const, multiple: true }]),
        ),
      },
    })
    const { config = [], ...rest } = values
    const options: Record<string, readonly string[]> = {}
    const flags = new Set<string>()
    for (const [name, value] of Object.entries<unknown>(rest)) {
      if (Array.isArray(value)) options[name] = value.map(String)
      else flags.add(name)
    }
    return { files: config, flags, options, words: positionals }
  } catch (error) {
    // Node's message is one or two sentences; the first says what was not understood.
    if (error instanceof Error && 'code' in error) return error.message.split('. ', 1)[0] ?? ''
    throw error
  }
}

function unknownCommand(words: readonly string[]): string {
  const [first = ''] = words
  const family = commands.filter(({ name }) => name.startsWith(`${first} `))
  if (family.length > 0) {
    return `'${first}' is one of: ${family.map(({ name }) => `'${name}'`).join(', ')}`
  }
  const nearest = nearestName(
    first,
    commands.map((command) => command.name),
  )
  return `'${first}' is not a command${nearest === undefined ? '' : `: did you mean '${nearest}'?`}`
}

function refuse(message: string, terminal: Terminal): number {
  terminal.err(`keelson: ${message}\nTry 'keelson --help'.\n`)
  return exitCodes.usage
}
