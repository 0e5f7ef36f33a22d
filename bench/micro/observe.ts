// What does it cost to observe a request that is answered out of memory? The pipeline alone, without a
// transport, for each choice of `log.access`, beside an observer that does nothing.
//
// node dist/bench/micro/observe.js [rounds] > /dev/null
// One process, batches of the variants interleaved; lines go to standard output, as a server's do. Prints
// on standard error, in ns a request, the median, the best tenth, and both above those of nobody.

import { createAuthenticator } from '../../src/authenticate/create.ts'
import { createChallenges } from '../../src/authenticate/token/challenge.ts'
import { createAuthorize } from '../../src/authorize/authorize.ts'
import { compilePolicies } from '../../src/authorize/policy/compile.ts'
import type { Reply } from '../../src/http/reply.ts'
import type { Registry } from '../../src/operation/registry.ts'
import { Observer, type ObserverOptions } from '../../src/server/observe.ts'
import { Pipeline } from '../../src/server/pipeline.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { AccessCounts } from '../../src/telemetry/access-log.ts'
import { AuthCounts } from '../../src/telemetry/auth-counts.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { RequestMetrics } from '../../src/telemetry/request-metrics.ts'

const batch = 500
const { log } = createLog({ level: 'info', format: 'json' })

class Nobody extends Observer {
  override startMs(): undefined {
    return undefined
  }

  override picks(): boolean {
    return false
  }

  override finished(): void {
    // Told of all, it counts none.
  }
}

/** As small as an exchange can be, so that little but the pipeline is measured. */
class Ping {
  readonly method = 'GET'
  readonly path = '/v2/'
  readonly query = ''
  readonly isSecure = false
  readonly certificate = undefined
  readonly aborted = false
  readonly remoteAddress = '192.0.2.1'
  readonly body = { length: 0 }
  status = 0

  header(name: string): string {
    return name === 'user-agent' ? 'containerd/v1.7.2' : ''
  }

  headerLines(): readonly string[] {
    return []
  }

  detach(): void {
    // Nothing outlives the turn.
  }

  send(reply: Reply): void {
    this.status = reply.status
  }

  onAbort(): void {
    // It never comes to that.
  }
}

function pipelineWith(observer: Observer): Pipeline {
  const { policies } = compilePolicies({ default: 'allow', rules: [] }, [])
  if (policies === undefined) throw new Error('the policy is wrong')
  const randomUuid = (): string => ''
  return new Pipeline({
    // A ping asks nothing else of it.
    registry: { shared: false, randomUuid } as unknown as Registry,
    ...{ log, observer, audit: { refusal: randomUuid }, tokens: undefined },
    authorize: createAuthorize(policies, { onRuleError: () => undefined, randomUuid }),
    authenticator: createAuthenticator({
      ...{ oidc: undefined, users: [], counts: new AuthCounts(), now: Date.now },
      verifyPassword: () => Promise.resolve(false),
      ...{ onLogin: () => undefined, elapsed: () => performance.now() },
    }),
    ...{ challenges: createChallenges(undefined), origin: () => undefined },
  })
}

function optionsFor(
  access: ObserverOptions['config']['access'],
  accessSample = 1,
): ObserverOptions {
  return {
    config: { access, accessSample },
    ...{ log, metrics: new RequestMetrics(), accessCounts: new AccessCounts() },
    ...{ trusts: () => false, clientAddress: ({ remoteAddress }) => remoteAddress },
    randomUuid: () => crypto.randomUUID(),
  }
}

const observers = {
  nobody: new Nobody(optionsFor('none')),
  none: new Observer(optionsFor('none')),
  writes: new Observer(optionsFor('writes')),
  'one in 100': new Observer(optionsFor('all', 100)),
  all: new Observer(optionsFor('all')),
}

const rounds = Number(process.argv[2] ?? 1000)
const variants = Object.entries(observers).map(([name, observer]) => {
  return { name, pipeline: pipelineWith(observer), times: [] as number[] }
})

for (let round = 0; round < rounds; round++) {
  for (const { pipeline, times } of round % 2 === 0 ? variants : variants.toReversed()) {
    const startMs = performance.now()
    for (let i = 0; i < batch; i++) pipeline.handle(new Ping() as unknown as Exchange)
    // What was put off belongs to it, too.
    for (let turn = 0; turn <= batch / 64; turn++) await new Promise((next) => setImmediate(next))
    // The first rounds compile.
    if (round > rounds / 4) times.push(((performance.now() - startMs) / batch) * 1e6)
  }
}

const share = (times: readonly number[], part: number): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length * part)] ?? 0
const base = variants[0]?.times ?? []
for (const { name, times } of variants) {
  const [median, best] = [0.5, 0.1].map((part) => [share(times, part), share(base, part)] as const)
  const shown = ([value, other]: readonly [number, number] = [0, 0]): string =>
    `${value.toFixed(0).padStart(6)} (${(value - other >= 0 ? '+' : '') + (value - other).toFixed(0)})`
  process.stderr.write(`${name.padEnd(12)} median ${shown(median)}   best tenth ${shown(best)}\n`)
}
process.exit(0)
