// What check-config finds beyond the configuration files: rules and patterns that do not compile, passwords
// that are no hashes, TLS files that cannot be used or soon cannot.
import { locateKey } from '../config/locate.ts'
import type { ConfigProblem } from '../config/problem.ts'
import { type Config, schema, type TlsConfig } from '../config/schema.ts'

export interface EdgeFindings {
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly string[]
}

/** `files` are those that `config` was loaded from. */
export async function checkEdge(
  config: Config,
  files: readonly string[],
  now: () => number,
): Promise<EdgeFindings> {
  // Loaded here, so that the other commands start without the policy engine.
  const { compilePolicies } = await import('../authorize/policy/compile.ts')
  const { problems } = compilePolicies(config.global.accessPolicy, config.repositories)
  const { checkRules } = await import('../runtime/rules.ts')
  const rules = checkRules(config, files)
  const { loadUsers } = await import('../authenticate/users.ts')
  const users = loadUsers(config.auth)
  const isUsed = config.listeners.some((listener) => listener.tls)
  const tls = config.tls && isUsed ? await checkTls(config.tls, files, now) : nothing
  return {
    problems: [
      ...[...problems, ...rules, ...users.problems, ...tls.problems],
      ...(await guardFaults(config, files)),
    ],
    warnings: tls.warnings,
  }
}

// As the server opens them, but nobody is asked.
async function guardFaults(
  config: Config,
  files: readonly string[],
): Promise<readonly ConfigProblem[]> {
  const { webhooks, opas } = config.auth
  if (webhooks.length + opas.length === 0) return []
  const { openWebhooks } = await import('../authorize/webhook/open.ts')
  const { openOpas } = await import('../authorize/opa/open.ts')
  const { GuardCounts } = await import('../telemetry/guard-counts.ts')
  const ignore = (): void => {}
  const around = { elapsed: () => 0, log: { info: ignore, warn: ignore } }
  const opened = [
    ...webhooks.map((each) => {
      const parts = { ...around, counts: new GuardCounts('webhook') }
      return { path: ['auth', 'webhook', each.name], open: () => openWebhooks([each], parts) }
    }),
    ...opas.map((each) => {
      const parts = { ...around, counts: new GuardCounts('opa') }
      return { path: ['auth', 'opa', each.name], open: () => openOpas([each], parts) }
    }),
  ]
  const problems: ConfigProblem[] = []
  for (const { path, open } of opened) {
    try {
      await (await open()).close()
    } catch (error) {
      const told = error instanceof Error ? error.message : String(error)
      const [, key, message] = /^auth\.(?:webhook|opa)\.[\w.-]+\.(\w+):? (.*)$/s.exec(told) ?? []
      const whole = key === undefined ? path : [...path, key]
      const place = locateKey(files, whole)
      problems.push({ ...place, key: whole.join('.'), message: message ?? told })
    }
  }
  return problems
}

const nothing: EdgeFindings = { problems: [], warnings: [] }

async function checkTls(
  tls: TlsConfig,
  files: readonly string[],
  now: () => number,
): Promise<EdgeFindings> {
  const { loadTls } = await import('../server/tls/load.ts')
  const { noticesOf } = await import('../server/tls/terms.ts')
  const { TicketSecrets } = await import('../server/tls/ticket-keys.ts')
  const { TlsFileError, tlsFilesOf } = await import('../server/tls/tls-files.ts')
  try {
    const { terms, warnings } = await loadTls(tlsFilesOf(tls), now, new TicketSecrets())
    const notices = noticesOf(terms, now()).map(({ message }) => message)
    return { problems: [], warnings: [...warnings, ...notices] }
  } catch (error) {
    if (!(error instanceof TlsFileError)) throw error
    const { key, item } = keyOf(error.file, tls)
    const place = locateKey(files, ['server', 'tls', key], item)
    return {
      problems: [{ ...place, key: `server.tls.${key}`, message: error.message }],
      warnings: [],
    }
  }
}

// The loader names a file, or a key where it means one.
function keyOf(file: string, tls: TlsConfig): { readonly key: string; readonly item?: number } {
  const item = tls.clientCrls.indexOf(file)
  if (item !== -1) return { key: 'client_crls', item }
  for (const [key, { field }] of Object.entries(schema['server.tls'].keys)) {
    if (tls[field] === file || file === `server.tls.${key}`) return { key }
  }
  return { key: 'server_certificate_bundle' }
}
