// `keelson token create`, `token list` and `token revoke`: API keys, and an end to what was issued.
import { formatDuration, parseDuration } from '../config/units.ts'
import type { AdminAnswer } from './admin-client.ts'
import { askServer, type WithoutServer } from './ask-server.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'

const ttlDefault = '90d'

export const tokenCreate: Command = {
  name: 'token create',
  summary: 'make an API key and print it',
  help: `Makes a new API key and prints it, this once: only its hash is kept. The running server does it; where
none runs, the store is opened for that. The key is used as the password of any user name, with --user as
that user's password, or as a Bearer token. Scopes narrow what the policies allow, and never widen it. In
place of a repository there may be team/*, which is everything below team, or *, which is everything.`,
  flags: { json: 'print the key and all that is known of it as one JSON object' },
  options: {
    name: ['NAME', 'what it is for; policies see it as the user key:NAME'],
    scope: ['SCOPE', 'such as repository:team/*:pull,push; repeat it for more'],
    ttl: ['DURATION', `how long it is good for, such as 12h or 365d; else ${ttlDefault}`],
    user: ['NAME', 'the user of the configuration that it stands for'],
  },
  repeatable: ['scope'],
  async run(invocation: Invocation): Promise<number> {
    const { options, flags, terminal } = invocation
    const { name, user, ttl = ttlDefault } = options as TokenOptions
    const scopes = (options['scope'] ?? '').split(' ').filter((scope) => scope !== '')
    const ttlMs = parseDuration(ttl)
    if (name === undefined) return refuse(invocation, 'token create needs --name')
    if (scopes.length === 0) return refuse(invocation, 'token create needs --scope')
    if (ttlMs === undefined) {
      return refuse(invocation, `--ttl: expected a duration such as ${formatDuration(3_600_000)}`)
    }
    const input = { name, scopes, ttlMs, ...(user === undefined ? {} : { username: user }) }
    const made = await askServer(invocation, '/tokens/create', input, withoutServer)
    if (made === undefined) return exitCodes.failed
    if (flags.has('json')) {
      terminal.out(`${JSON.stringify(made, undefined, 2)}\n`)
      return exitCodes.ok
    }
    const { id, key, expiresAt } = made as { id?: string; key?: string; expiresAt?: string }
    terminal.out(`${key}\n`)
    terminal.err(`API key ${id}, good until ${expiresAt}. It is not shown again.\n`)
    return exitCodes.ok
  },
}

export const tokenList: Command = {
  name: 'token list',
  summary: 'list API keys and refresh tokens',
  help: `Asks the running server, or reads the store where none runs. The keys themselves are not shown, since
nobody has them. What has ended is listed for 30 days more.`,
  flags: { json: 'print one JSON object' },
  async run(invocation: Invocation): Promise<number> {
    const listed = await askServer(invocation, '/tokens', undefined, withoutServer)
    if (listed === undefined) return exitCodes.failed
    const { terminal, flags } = invocation
    terminal.out(flags.has('json') ? `${JSON.stringify(listed, undefined, 2)}\n` : shown(listed))
    return exitCodes.ok
  },
}

export const tokenRevoke: Command = {
  name: 'token revoke',
  summary: 'end an API key, a token, or all that a user has',
  help: `ID is that of an API key or a refresh token, as token list shows it, or the id (jti) of a token, as
the log has it. With --user, every token, refresh token and API key that the user has so far ends.
It holds at once, and within a second in other processes of the same store and on hosts that share a
Redis. Where no server runs, the store is opened for that, and other hosts hear of it at its start.`,
  argument: 'ID',
  flags: {},
  options: { user: ['NAME', 'the user name, as policies see it'] },
  async run(invocation: Invocation): Promise<number> {
    const { argument: id, options, terminal } = invocation
    const { user } = options as TokenOptions
    if ((id === undefined) === (user === undefined)) {
      return refuse(invocation, 'token revoke needs an id or --user')
    }
    const input = id === undefined ? { username: user ?? '' } : { id }
    const revoked = await askServer(invocation, '/tokens/revoke', input, withoutServer)
    if (revoked === undefined) return exitCodes.failed
    const counts = revoked as { revoked?: string; apiKeys?: number; refreshTokens?: number }
    const { apiKeys = 0, refreshTokens = 0 } = counts
    terminal.out(
      id === undefined
        ? `revoked what ${user} has: ${apiKeys} API keys, ${refreshTokens} refresh tokens, every token\n`
        : `revoked ${counts.revoked} ${id}\n`,
    )
    return exitCodes.ok
  },
}

// Loaded where it is needed: with a server, none of it is.
const withoutServer: WithoutServer = async (config, path, input): Promise<AdminAnswer> => {
  const { callOffline } = await import('../runtime/offline.ts')
  return callOffline(config, path, input)
}

interface TokenOptions {
  readonly name?: string
  readonly ttl?: string
  readonly user?: string
}

function refuse({ terminal }: Invocation, message: string): number {
  terminal.err(`keelson: ${message}\n`)
  return exitCodes.usage
}

// As the admin interface of the same version answers.
interface Listed {
  readonly apiKeys?: readonly {
    readonly id: string
    readonly name: string
    readonly username: string | null
    readonly scopes: readonly string[]
    readonly state: string
    readonly expiresAt: string
  }[]
  readonly refreshTokens?: readonly {
    readonly id: string
    readonly username: string
    readonly expiresAt: string
  }[]
}

function shown({ apiKeys = [], refreshTokens = [] }: Listed): string {
  const keys = apiKeys.map((key) => [
    ...[key.id, key.state, key.name, key.username ?? '-', key.expiresAt],
    key.scopes.join(' '),
  ])
  const kept = refreshTokens.map(({ id, username, expiresAt }) => [id, username, expiresAt])
  return (
    table(['API key', 'state', 'name', 'user', 'good until', 'scopes'], keys) +
    (kept.length === 0 ? '' : `\n${table(['refresh token', 'user', 'good until'], kept)}`)
  )
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [titles, ...rows]
  const widths = titles.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}
