// Goal: whatever decides, and however it fails, nobody is let in by accident: every action by the anonymous,
// by a user who is allowed and by one who is not. Method: real servers, one step denies or fails at a time.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { TlsOptions } from 'node:tls'
import type { Certificate } from '../support/pki.ts'
import { needsOpenssl } from '../support/pki.ts'
import { assertStatus, json } from '../support/registry-client.ts'
import {
  type Behaviour,
  openRudeService,
  type RudeRequest,
  type RudeService,
} from '../support/rude-service.ts'
import { usePki } from '../support/tls-server.ts'
import { Decisions, digest, type Expected } from './decision-scene.ts'

const access = (decision: 'allow' | 'deny', ...rules: readonly string[]): string =>
  `access_policy]\ndefault = "${decision}"\nrules = ${JSON.stringify(rules)}\n`

// Neither of the users has a token, so it cannot be evaluated.
const erring = "identity.oidc.claims.role == 'admin'"
const isAnn = "identity.username == 'ann'"

/** Forms of a policy, and whom it allows. */
const policies: Readonly<Record<string, readonly [toml: string, Expected]>> = {
  'that allows by a rule': [access('deny', isAnn), 'ann'],
  'that denies by a rule': [access('allow', "identity.username != 'ann'"), 'ann'],
  'that skips a rule that fails': [access('deny', erring, isAnn), 'ann'],
  'whose only rule fails': [access('deny', erring), 'nobody'],
  'whose denying rule fails': [access('allow', erring), 'nobody'],
  'that has no rule': [access('deny'), 'nobody'],
  'that denies nothing': [access('allow'), 'everybody'],
}

// A server each; of the others the next server knows more, and the seed's table the rest.
const globally = ['that allows by a rule', 'that denies by a rule', 'whose denying rule fails']

describe('every action by everybody, where a global policy decides', { concurrency: 2 }, () => {
  for (const name of globally) {
    const [toml = '', allowed = 'nobody'] = policies[name] ?? []
    test(`one ${name} allows ${allowed}`, async (t) => {
      const wider = `[repository.wide.${access('allow')}`
      const decisions = await Decisions.start(`[global.${toml}${wider}`)
      t.after(() => decisions.stop())
      await decisions.assertDecided('app', allowed)
      // A policy of a repository gives nothing back.
      await decisions.assertDecided('wide/app', allowed, false)
    })
  }

  test('none allows nobody, not even where a repository has one', async (t) => {
    const decisions = await Decisions.start(`[repository.wide.${access('allow')}`)
    t.after(() => decisions.stop())
    await decisions.assertDecided('app', 'nobody')
    await decisions.assertDecided('wide/app', 'nobody', false)
  })
})

describe('every action by everybody, where a policy of a repository decides', () => {
  const forms = Object.values(policies)
  let decisions: Decisions
  before(async () => {
    const tables = forms.map(([toml], index) => `[repository."form-${index}".${toml}`)
    decisions = await Decisions.start(`[global.${access('allow')}${tables.join('')}`)
  })
  after(() => decisions.stop())

  for (const [index, name] of Object.keys(policies).entries()) {
    const allowed = forms[index]?.[1] ?? 'nobody'
    test(`one ${name} allows ${allowed}`, async () => {
      await decisions.assertDecided(`form-${index}/app`, allowed, false)
      // A name that only begins like it is no part of it.
      await decisions.assertDecided(`form-${index}0/app`, 'everybody', false)
    })
  }
})

type Kind = 'webhook' | 'opa'

interface Step {
  readonly kind: Kind
  /** Undefined: it is asked about everything. */
  readonly prefix: string | undefined
}

const steps: Readonly<Record<string, Step>> = {
  'a global webhook': { kind: 'webhook', prefix: undefined },
  'a global OPA': { kind: 'opa', prefix: undefined },
  'a webhook of a repository': { kind: 'webhook', prefix: 'hooked' },
  'an OPA of a repository': { kind: 'opa', prefix: 'asked' },
}

const says = (body: string): Behaviour => ({ status: 200, body })
const allowing = says('{"result":true}')
const denying: Readonly<Record<Kind, Behaviour>> = {
  webhook: { status: 403, body: '{"result":true}' },
  opa: says('{"result":false}'),
}

const redirect =
  (status: number) =>
  (request: RudeRequest): Behaviour =>
    request.target === '/elsewhere' ? allowing : { status, headers: { Location: '/elsewhere' } }

type Manner = Behaviour | ((request: RudeRequest) => Behaviour)

/** Ways in which both fail, of which each could be mistaken for the answer that allows. */
const ways: Readonly<Record<string, Manner>> = {
  'answers 500': { status: 500, body: '{"result":true}' },
  'answers 503': { status: 503, body: '{"result":true}' },
  'redirects by 302': redirect(302),
  'redirects by 307': redirect(307),
  'has a body that ends early': 'ends its body early',
  'has chunks that end early': 'ends its chunks early',
  'speaks another protocol': 'speaks another protocol',
  'answers with two lengths': 'answers with two lengths',
  'closes at once': 'closes at once',
}

/** What is malformed for one of them alone. */
const malformed: Readonly<Record<Kind, Readonly<Record<string, Behaviour>>>> = {
  webhook: { 'answers 404': { status: 404 }, 'answers 407': { status: 407 } },
  opa: {
    'answers a text': says('{"result":"true"}'),
    'answers a number': says('{"result":1}'),
    'answers no JSON': says('{"result":true'),
    'answers nothing': says('{}'),
    'answers two things': says('{"result":true,"result":true}'),
    'answers 201': { status: 201, body: '{"result":true}' },
  },
}

/** One service. */
interface Guardian extends Step {
  readonly name: string
  readonly service: RudeService
}

function configuration(guardians: readonly Guardian[], more: readonly string[]): string {
  const tables = guardians.map(({ kind, name, service }) =>
    [
      `[auth.${kind}.${name}]`,
      `url = ${JSON.stringify(service.url)}`,
      ...(kind === 'opa' ? ['path = "keelson/allow"'] : []),
      ...['cache_ttl = "0s"', 'breaker_failures = 1000', ...more, ''],
    ].join('\n'),
  )
  const choices = guardians.map(({ kind, name, prefix }) => {
    const table = prefix === undefined ? '' : `[repository.${prefix}]\n`
    return `${table}authorization_${kind} = "${name}"\n`
  })
  return `[global]\n${choices.join('')}${tables.join('')}[global.${access('allow')}`
}

/** Whom a question is about. */
function userOf(kind: Kind, request: RudeRequest): string | undefined {
  if (kind === 'webhook') return new Map(request.headers).get('x-registry-username')
  const { input } = JSON.parse(request.body) as { input: { user?: { name: string } } }
  return input.user?.name
}

/** A server that asks the services of all steps. */
class Guarded {
  guardians: readonly Guardian[] = []
  #decisions: Decisions | undefined

  get decisions(): Decisions {
    assert.ok(this.#decisions)
    return this.#decisions
  }

  /** `more`: of each table of a service. */
  async start(more: readonly string[], tls?: TlsOptions): Promise<void> {
    const opened = Object.values(steps).map(async (step, index): Promise<Guardian> => {
      const service = await openRudeService({ status: 200, body: '{"result":true}' }, tls)
      return { ...step, service, name: `step-${index}` }
    })
    this.guardians = await Promise.all(opened)
    this.#decisions = await Decisions.start(configuration(this.guardians, more))
    for (const { prefix } of this.guardians) await this.decisions.fill(filled(prefix))
  }

  async stop(): Promise<void> {
    await this.#decisions?.stop()
    await Promise.all(this.guardians.map(({ service }) => service.close()))
  }

  /** While nothing but this one fails. */
  async assertDenies({ prefix }: Guardian): Promise<void> {
    const repository = filled(prefix)
    const decided = this.decisions.assertDecided(repository, 'nobody', prefix === undefined)
    await Promise.all([decided, ...(prefix === undefined ? [] : [this.#assertHidden(repository)])])
  }

  /** From now on; and nothing has happened before. */
  async assertWell({ prefix, service }: Guardian): Promise<void> {
    service.behave(allowing)
    await this.decisions.assertUntouched(filled(prefix))
  }

  /** Neither in the catalogue, nor as the source of a mount. */
  async #assertHidden(repository: string): Promise<void> {
    const mount = `/v2/other/blobs/uploads/?mount=${digest}&from=${repository}`
    const [listed, mounted] = await Promise.all([
      this.decisions.call('ann', 'GET', '/v2/_catalog'),
      this.decisions.call('ann', 'POST', mount),
    ])
    assertStatus(mounted, 202, mount)
    const { repositories } = json<{ repositories: readonly string[] }>(assertStatus(listed, 200))
    assert.ok(repositories.includes('app') && !repositories.includes(repository), `${repositories}`)
  }
}

const filled = (prefix: string | undefined): string =>
  prefix === undefined ? 'app' : `${prefix}/app`

describe('every action by everybody, where a service decides', () => {
  const guarded = new Guarded()
  // A busy machine must not look like a service that hangs.
  before(() => guarded.start(['timeout = "1m"']))
  after(() => guarded.stop())

  for (const [index, [title, { kind, prefix }]] of Object.entries(steps).entries()) {
    const guardian = (): Guardian => guarded.guardians[index] as Guardian

    test(`${title} that is well allows whom it likes, and denies the others`, async () => {
      const { service } = guardian()
      const empty = prefix === undefined ? 'none' : `${prefix}/none`
      service.behave((request) => (userOf(kind, request) === 'ann' ? allowing : denying[kind]))
      await guarded.decisions.assertDecided(empty, 'ann', prefix === undefined)
      service.behave(allowing)
      await guarded.decisions.assertDecided(empty, 'everybody', prefix === undefined)
      service.behave(denying[kind])
      await guarded.assertDenies(guardian())
      await guarded.assertWell(guardian())
    })

    for (const [how, manner] of Object.entries({ ...ways, ...malformed[kind] })) {
      test(`${title} that ${how} denies`, async () => {
        const { service } = guardian()
        service.behave(manner)
        const before = service.requests.length
        await guarded.assertDenies(guardian())
        const heard = service.requests.slice(before)
        assert.ok(heard.length > 0, 'it was not asked at all')
        assert.ok(!heard.some(({ target }) => target === '/elsewhere'), 'a redirect was followed')
        await guarded.assertWell(guardian())
      })
    }

    test(`${title} that nobody can reach denies`, async () => {
      const { service } = guardian()
      await service.stop()
      await guarded.assertDenies(guardian())
      await service.start()
      await guarded.assertWell(guardian())
    })
  }
})

describe('every action by everybody, where a service over TLS decides', needsOpenssl, () => {
  const scene = usePki()
  const guarded = new Guarded()
  // What all services show; read anew whenever one starts.
  const tls: TlsOptions = {}
  let wrong: Readonly<Record<string, Certificate>> = {}
  before(async () => {
    const { pki } = scene
    show(pki.server)
    const ca = JSON.stringify(pki.serverCa.certificateFile)
    await guarded.start([`server_ca_bundle = ${ca}`, 'timeout = "1s"'], tls)
    const past = { notBefore: new Date(0), notAfter: new Date(Date.now() - 86_400_000) }
    wrong = {
      'of another CA': await (await pki.rogueCa()).serverCertificate(),
      'that has expired': await pki.serverCa.serverCertificate(past),
      'of another name': await pki.serverCa.serverCertificate({ sans: ['DNS:elsewhere.test'] }),
    }
  })
  after(() => guarded.stop())

  function show({ bundlePem: cert, keyPem: key }: Certificate): void {
    Object.assign(tls, { cert, key })
  }

  for (const [index, title] of Object.keys(steps).entries()) {
    const guardian = (): Guardian => guarded.guardians[index] as Guardian

    test(`${title} that never answers denies`, async () => {
      const { service } = guardian()
      service.behave('never answers')
      await guarded.assertDenies(guardian())
      assert.ok(service.openMax > 0, 'it was not asked at all')
      await guarded.assertWell(guardian())
    })

    test(`${title} that cannot prove who it is denies`, async () => {
      const { service } = guardian()
      const before = service.requests.length
      for (const [what, certificate] of Object.entries(wrong)) {
        await service.stop()
        show(certificate)
        await service.start()
        await guarded.assertDenies(guardian())
        assert.equal(service.requests.length, before, `with a certificate ${what} it was told`)
      }
      await service.stop()
      show(scene.pki.server)
      await service.start()
      await guarded.assertWell(guardian())
    })
  }
})
