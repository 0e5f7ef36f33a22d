// Asks Redis for a field that the server reads, as the user that the configuration names.
import type { RedisConfig } from '../../config/schema.ts'
import { connectRedis } from '../../redis/connect.ts'
import type { ServiceFacts } from '../check/services.ts'
import { factsOf, patienceMs } from './ask.ts'

const remedy =
  'see that it runs and can be reached, that server_ca_bundle is the CA of its certificate, and that username and password are right'

const script = "redis.call('GET', KEYS[1]) return redis.call('TIME')"

export function askRedis(config: RedisConfig): Promise<ServiceFacts> {
  const { url, keyPrefix } = config
  const timeoutMs = Math.min(config.timeoutMs, patienceMs)
  const ask = async (): Promise<string | { reason: string; remedy: string }> => {
    let told = (_: string | undefined): void => undefined
    const ended = new Promise<string | undefined>((settle) => {
      told = settle
    })
    const events = { onReady: () => told(undefined), onMessage: () => undefined, onFault: told }
    const link = await connectRedis({ ...config, timeoutMs }, { random: Math.random, events })
    const late = setTimeout(() => told(`no answer in ${timeoutMs} ms`), timeoutMs)
    try {
      const fault = await ended
      if (fault !== undefined) return { reason: fault, remedy }
      await link.readField(`${keyPrefix}revocations`, 'keelson-doctor')
      // What shared limits need, but for writing.
      const key = `${keyPrefix}{limits}:probe`
      if (config.hashKey !== undefined) await link.run(script, [key], [])
      return 'answers'
    } finally {
      clearTimeout(late)
      link.close()
    }
  }
  return factsOf({ kind: 'redis', name: '', url }, ask, remedy)
}
