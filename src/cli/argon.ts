// `keelson argon`: a password → what the configuration holds in its place.
import { type Command, exitCodes, type Invocation } from './command.ts'
import { weakness } from './password-strength.ts'
import { readPassword } from './read-password.ts'

export const argon: Command = {
  name: 'argon',
  summary: 'hash a password for [auth.identity.<id>]',
  help: `Asks for a password without showing it, or reads one line of standard input, and prints its Argon2id
hash in PHC form (m=19456, t=2, p=1). Weak passwords are refused: fewer than 12 characters, or among
those that guessers try first.`,
  flags: {},
  async run({ terminal }: Invocation): Promise<number> {
    // Loaded here, so that the other commands start without native addons.
    const { hashPassword } = await import('../../workers/credentials.ts')
    try {
      const password = await readPassword({ stdin: process.stdin, prompt: terminal.err })
      const reason = weakness(password)
      if (reason !== undefined) {
        terminal.err(`keelson: this password is too weak: ${reason}\n`)
        return exitCodes.failed
      }
      terminal.out(`${hashPassword(password)}\n`)
      return exitCodes.ok
    } catch (error) {
      if (!(error instanceof Error)) throw error
      terminal.err(`keelson: ${error.message}\n`)
      return exitCodes.failed
    }
  },
}
