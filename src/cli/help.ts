// The texts of --help.
import type { Command } from './command.ts'

const commonOptions: readonly (readonly [form: string, meaning: string])[] = [
  ['-c, --config FILE', 'configuration file; repeat it to merge several, the later ones win'],
  ['-h, --help', 'show this help'],
  ['--version', 'show the version'],
]

const exitHelp = `Exit codes:
  0   success
  1   the configuration was refused or the command failed
  2   the command line was not understood
  70  the server met a fault of its own and ended; the log says which
`

/** The text of `keelson --help`. */
export function generalHelp(commands: readonly Command[]): string {
  return `Usage: keelson [-c FILE]... COMMAND

Keelson is an OCI container registry.

Commands:
${columns(commands.map(({ name, summary }) => [name, summary]))}
Options:
${columns(commonOptions)}
Without -c, config.toml in the current folder is read.

${exitHelp}`
}

/** The text of `keelson COMMAND --help`. */
export function commandHelp(command: Command): string {
  const { name, summary, help, flags, options = {} } = command
  const own = [
    ...Object.entries(flags).map(([flag, meaning]) => [`--${flag}`, meaning] as const),
    ...Object.entries(options).map(([option, [value, meaning]]) => {
      return [`--${option} ${value}`, meaning] as const
    }),
  ]
  const usage = own.length > 3 ? ' [OPTION]...' : own.map(([form]) => ` [${form}]`).join('')
  const several = command.takesSeveral === true ? '...' : ''
  const argument = command.argument === undefined ? '' : ` [${command.argument}]${several}`
  return `Usage: keelson [-c FILE]... ${name}${usage}${argument}

keelson ${name}: ${summary}.

${help}

Options:
${columns([...own, ...commonOptions])}
${exitHelp}`
}

function columns(rows: readonly (readonly [left: string, right: string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}
