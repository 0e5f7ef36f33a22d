// Goal: a fault in one request is a 500 with an id that the log has too, and tells nothing;
// the next request is answered as well. Method: stages that throw, at once and later, what no contract knows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Authenticator } from '../../src/authenticate/authenticate.ts'
import type { Authorize } from '../../src/authorize/authorize.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { json } from '../support/registry-client.ts'
import { InProcess, type InProcessOptions } from './in-process.ts'
import { secret } from './planted-fault.ts'

type Stages = NonNullable<InProcessOptions['pipeline']>

const fault = (): never => {
  throw new TypeError(secret)
}
const later = (): Promise<never> => Promise.reject(new TypeError(secret))

const places: Readonly<Record<string, Stages>> = {
  'authenticate, at once': { authenticator: { authenticate: fault } as unknown as Authenticator },
  'authenticate, later': { authenticator: { authenticate: later } as unknown as Authenticator },
  'authorize, at once': { authorize: fault as unknown as Authorize },
  'authorize, later': { authorize: later as unknown as Authorize },
  'the limits': { limits: { rates: { admit: fault }, transfers: undefined } } as unknown as Stages,
  operate: { limits: { rates: undefined, transfers: { begin: fault } } } as unknown as Stages,
}

for (const [name, stages] of Object.entries(places)) {
  test(`a fault in ${name} is a 500 that tells nothing but an id`, async () => {
    const lines: { readonly requestId: string; readonly err: Error }[] = []
    const log = {
      error: (line: (typeof lines)[number]) => void lines.push(line),
      warn: () => assert.fail('a fault is an error'),
    } as unknown as Logger
    const registry = await InProcess.open({ pipeline: { ...stages, log } })
    try {
      for (const [method, target] of [
        ['GET', '/v2/app/manifests/latest'],
        ['POST', '/v2/app/blobs/uploads/'],
        ['GET', '/v2/app/tags/list'],
      ] as const) {
        const before = lines.length
        const answer = await registry.send(method, target)
        assert.equal(answer.status, 500, `${method} ${target}: ${answer.body}`)
        const { errors } = json<{ errors: { code: string; detail: { requestId: string } }[] }>(
          answer,
        )
        const [error] = errors
        assert.equal(error?.code, 'INTERNAL')
        assert.ok(!answer.body.toString().includes(secret))
        assert.equal(lines.length, before + 1)
        assert.equal(lines.at(-1)?.requestId, error?.detail.requestId)
        assert.equal(lines.at(-1)?.err.message, secret)
      }
      await registry.assertAtRest()
    } finally {
      await registry.close()
    }
  })
}
