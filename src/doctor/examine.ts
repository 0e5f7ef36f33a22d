// The whole examination: facts, findings, and no secret in what is said.
import type { Config } from '../config/schema.ts'
import type { Finding } from './contract.ts'
import { diagnose } from './diagnose.ts'
import { gatherFacts, type Surroundings } from './facts.ts'
import type { Host } from './host.ts'
import { redacted, secretsOf } from './redact.ts'

/** In a fixed order. Never rejects. */
export async function examine(config: Config, around: Surroundings): Promise<readonly Finding[]> {
  const findings = diagnose(await gatherFacts(config, around))
  return redacted(findings, secretsOf(config, await tokensOf(config, around.host)))
}

// Tokens that are read at each fetch, and no secrets of the configuration.
async function tokensOf({ auth }: Config, host: Host): Promise<readonly string[]> {
  const tokens = await Promise.all(
    auth.oidc.map(({ bearerTokenFile: file }) => (file === undefined ? '' : host.text(file))),
  )
  return tokens.filter((token) => token !== undefined)
}
