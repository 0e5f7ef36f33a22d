// The operator's calls about tokens while no server runs: the store is locked, opened, changed and closed.

import { createUserDirectory } from '../authenticate/token/directory.ts'
import { loadUsers } from '../authenticate/users.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { AdminAnswer, TokenAdmin } from '../operation/token/admin.ts'
import { openTokens } from '../operation/token/open.ts'
import { createLog, type Logger } from '../telemetry/log.ts'
import { openAlone } from './alone.ts'
import { openConfiguredAudit } from './audit.ts'
import { Closers } from './closers.ts'

/**
 * As the admin interface answers the same path, and as durable when it resolves.
 * Errors: Error with a message for the operator: no store, one in use, or one of another user.
 */
export async function callOffline(
  config: Config,
  path: string,
  input: unknown,
): Promise<AdminAnswer> {
  const { log, flush } = createLog({ ...config.log, level: 'warn', descriptor: 2 })
  const closers = new Closers(log)
  try {
    const admin = await openAdminTokens(config, log, closers)
    if (path === '/tokens') return await admin.list()
    if (path === '/tokens/create') return await admin.create(input)
    if (path === '/tokens/revoke') return await admin.revoke(input)
    throw new Error(`${path} needs a running server`)
  } finally {
    await closers.closeAll()
    await flush()
  }
}

async function openAdminTokens(config: Config, log: Logger, closers: Closers): Promise<TokenAdmin> {
  const store = await openAlone(config)
  closers.add(() => store.close())
  const { users, problems } = loadUsers(config.auth)
  if (problems.length > 0) throw new ConfigError(problems)
  // After the store: whoever has its lock is alone with the audit log, too.
  const audit = await openConfiguredAudit(config, log, closers)
  // Without a token service: API keys and revocations need none, and no key is made for it here.
  const tokens = await openTokens(undefined, {
    ...{ store, shared: false, directory: createUserDirectory(users, new Set()) },
    onEvent: (event) => audit.token(event),
    onCall: (event) => audit.tokenAdmin(event),
    onFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  })
  closers.add(() => tokens.keeper.close())
  return tokens.admin
}
