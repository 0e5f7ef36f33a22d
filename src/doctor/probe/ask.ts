// Asks one service for so long and no longer, whatever it does.
import type { ServiceFacts, ServiceFault } from '../check/services.ts'

/** What asking came to: what it said, or why it cannot be used. */
export type Asked = string | ServiceFault

/** Nobody waits longer for one of them, whatever its own time is. */
export const patienceMs = 5000

/** The facts of one service, by the time that `ask` took. `ask` may fail as it likes, or never end. */
export async function factsOf(
  service: Pick<ServiceFacts, 'kind' | 'name' | 'url'> & Partial<Pick<ServiceFacts, 'doubts'>>,
  ask: () => Promise<Asked>,
  remedy: string,
): Promise<ServiceFacts> {
  const startMs = performance.now()
  const asked = await bounded(ask, remedy)
  const tookMs = performance.now() - startMs
  const isFault = typeof asked !== 'string'
  return {
    doubts: [],
    ...service,
    fault: isFault ? asked : undefined,
    answer: isFault ? '' : asked,
    tookMs,
  }
}

async function bounded(ask: () => Promise<Asked>, remedy: string): Promise<Asked> {
  let timer: NodeJS.Timeout | undefined
  const lateMs = patienceMs + 1000
  const late = new Promise<Asked>((settle) => {
    const reason = `no answer in ${lateMs} ms`
    timer = setTimeout(settle, lateMs, { reason, remedy })
  })
  try {
    return await Promise.race([ask(), late])
  } catch (error) {
    return { reason: reasonOf(error), remedy }
  } finally {
    clearTimeout(timer)
  }
}

/** Of an error, with what is behind it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  const code = 'code' in error ? String(error.code) : error.name
  const own = error.message === '' ? code : error.message
  return cause instanceof Error && cause.message !== '' ? `${own}: ${cause.message}` : own
}
