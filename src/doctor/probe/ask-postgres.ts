// Asks PostgreSQL for its settings, as the role that the configuration names.
import type { PostgresConfig } from '../../config/schema.ts'
import { askDatabase } from '../../storage/metadata/postgres/ask.ts'
import { doubtsOf, refusalOf } from '../../storage/metadata/postgres/settings.ts'
import type { ServiceFacts } from '../check/services.ts'
import { type Asked, factsOf, patienceMs } from './ask.ts'

const remedy =
  'see that it runs, is no standby and can be reached, that server_ca_bundle is the CA of its certificate, and that database, username and password are right'

/** `isDurable`: a 201 has to be on disk. */
export async function askPostgres(
  config: PostgresConfig,
  isDurable: boolean,
): Promise<ServiceFacts> {
  const { host, port, database } = config
  const url = `${host}:${port}/${database}`
  const timeoutMs = Math.min(config.connectTimeoutMs, patienceMs / 2)
  let doubts: readonly string[] = []
  const ask = async (): Promise<Asked> => {
    const settings = await askDatabase(config, timeoutMs)
    const reason = refusalOf(settings)
    if (reason !== undefined) return { reason, remedy: 'make another database' }
    doubts = isDurable ? doubtsOf(settings) : []
    return `answers, PostgreSQL ${settings.version}, up to ${settings.connectionsMax} connections,`
  }
  const facts = await factsOf({ kind: 'postgres', name: '', url }, ask, remedy)
  const fix = { remedy: 'turn it on in postgresql.conf' }
  return { ...facts, doubts: doubts.map((detail) => ({ detail, fix })) }
}
