// Goal: an OPA lets nothing through that it did not allow. Method: the contract of all guards, against a
// service that fails in every way.
import { openOpas } from '../../../src/authorize/opa/open.ts'
import { GuardCounts } from '../../../src/telemetry/guard-counts.ts'
import { guardContract } from '../guard-contract.ts'
import { opaConfig } from './scene.ts'

const silent = { info: () => undefined, warn: () => undefined }

guardContract({
  kind: 'OPA',
  allow: { status: 200, body: '{"result":true}' },
  deny: { status: 200, body: '{"result":false}' },
  otherwise: {
    'an undefined document': { status: 200, body: '{}' },
    'a text': { status: 200, body: '{"result":"true"}' },
    'an undefined allow': { status: 200, body: '{"result":{}}' },
    'an evaluation error': { status: 500, body: '{"code":"internal_error","message":"conflict"}' },
    'a missing token': { status: 401, body: '{"result":true}' },
  },
  async open({ elapsed, ...options }) {
    const counts = new GuardCounts('opa')
    const config = opaConfig(options)
    const opas = await openOpas([config], { counts, elapsed, log: silent })
    const guard = opas.guards.get(config.name)
    if (guard === undefined) throw new Error('no guard')
    return { guard, close: opas.close }
  },
})
