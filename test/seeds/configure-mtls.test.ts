// Goal: the document "Configure mTLS" does what it says. Method: its configurations, with only the
// place of their files changed, its curl command as typed, and a client of each kind it speaks of.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type Certificate, needsOpenssl } from '../support/pki.ts'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { type Answer, RegistryClient } from '../support/registry-client.ts'
import { attempt, type Finished } from '../support/run.ts'
import { productCommand, type Server, startServer } from '../support/server.ts'
import { clientTls, stopServer, usePki } from '../support/tls-server.ts'
import {
  accessControl,
  configuration,
  curlCommand,
  optionalPolicy,
  repositoryPolicies,
  requiredPolicy,
  requiredTls,
  withFilesIn,
} from './configure-mtls.ts'
import { layOut, type MtlsFiles, storeIn } from './mtls-scene.ts'

const readerPassword = 'tuesday-fjord-lemon'
const readerHash = hashPassword(readerPassword)

describe('the document', needsOpenssl, () => {
  const scene = usePki()
  const loopback = '[server]\nbind_address = "127.0.0.1"\nport = 0\n'
  let files: MtlsFiles
  const people = new Map<string, Certificate>()

  before(async () => {
    const { clientCa, client } = scene.pki
    files = await layOut(scene, client)
    people.set('build-server', client)
    const named: readonly (readonly [string, string, string])[] = [
      ['developer', 'dana', 'Developers'],
      ['platform', 'petra', 'Platform'],
      ['devops', 'olaf', 'DevOps'],
      ['other', 'otto', 'Elsewhere'],
    ]
    for (const [who, commonName, organization] of named) {
      const names = { commonNames: [commonName], organizations: [organization] }
      people.set(who, await clientCa.clientCertificate(names))
    }
    const nameless = { commonNames: [], organizations: ['Elsewhere'] }
    people.set('nameless', await clientCa.clientCertificate(nameless))
  })

  let stores = 0

  /** A server with these parts of the document, on a free port. */
  async function serve(...parts: readonly string[]): Promise<Server> {
    stores += 1
    const toml = parts.map((part) => withFilesIn(files.tls, part)).join('')
    const store = storeIn(join(scene.dir, `store-${stores}`))
    return startServer({ base: toml.includes('[server]') ? toml : loopback + toml, toml: store })
  }

  interface Access {
    readonly ping: number
    readonly pull: number
    readonly push: number
  }

  function clientOf(server: Server, who?: string): RegistryClient {
    const certificate = who === undefined ? undefined : people.get(who)
    return new RegistryClient(`https://localhost:${server.port}`, clientTls(scene.pki, certificate))
  }

  /** Statuses that somebody gets; a pull of what is not there is 404 for who may pull. */
  async function accessOf(
    server: Server,
    who?: string,
    repository = 'a',
    password?: string,
  ): Promise<Access> {
    const client = clientOf(server, who)
    const login = Buffer.from(`reader:${password}`).toString('base64')
    const headers: Record<string, string> =
      password === undefined ? {} : { authorization: `Basic ${login}` }
    const statusOf = ({ status }: Answer): number => status
    const access = {
      ping: statusOf(await client.get('/v2/', headers)),
      pull: statusOf(await client.get(`/v2/${repository}/manifests/latest`, headers)),
      push: statusOf(await client.call('POST', `/v2/${repository}/blobs/uploads/`, { headers })),
    }
    client.close()
    return access
  }

  const all: Access = { ping: 200, pull: 404, push: 202 }
  const anonymous: Access = { ping: 401, pull: 401, push: 401 }
  const forbidden: Access = { ping: 403, pull: 403, push: 403 }

  async function checkConfig(...parts: readonly string[]): Promise<Finished> {
    const file = join(scene.dir, 'check.toml')
    const toml = parts.map((part) => withFilesIn(files.tls, part)).join('')
    await writeFile(file, toml + storeIn(join(scene.dir, 'never-made')))
    const [command = '', ...args] = productCommand()
    return attempt(command, [...args, '-c', file, 'check-config'])
  }

  describe('the configuration of step 2', needsPrivateHostAnd('openssl', 'curl'), () => {
    let host: PrivateHost
    let server: Server
    before(async () => {
      host = await openPrivateHost(scene.dir, ['registry.example.com'])
      const open = '[global.access_policy]\ndefault = "allow"\n'
      server = await startServer({
        base: withFilesIn(files.tls, configuration),
        toml: open + storeIn(join(scene.dir, 'store')),
        wrap: host.enter,
      })
    })
    after(async () => {
      await stopServer(server)
      await host.close()
    })

    test('serves on its port, over the transport that can require certificates', () => {
      assert.equal(server.port, 8000)
      assert.equal(server.listeners[0]?.transport, 'node')
    })

    test('answers the curl command of the document', async () => {
      const line = `set -e\n${curlCommand.trim()} -sS -o /dev/null -w '%{http_code}'`
      assert.equal(await host.run('bash', ['-c', line], { cwd: files.work }), '200')
    })

    test('gives curl no HTTP status without a certificate, and with one of another CA', async () => {
      const { serverCa } = scene.pki
      const foreign = await serverCa.clientCertificate()
      const common = `curl -sS -o /dev/null -w '%{http_code}' --cacert ca.pem`
      const url = 'https://registry.example.com:8000/v2/'
      for (const shown of ['', `--cert ${foreign.bundleFile} --key ${foreign.keyFile}`]) {
        const line = `${common} ${shown} ${url}`
        const { code, stdout } = await host.attempt('bash', ['-c', line], { cwd: files.work })
        assert.equal(stdout, '000', line)
        assert.notEqual(code, 0)
      }
    })
  })

  describe('client_auth', () => {
    test('required without a CA bundle refuses to start, and says so', async () => {
      const lines = requiredTls.split('\n').filter((line) => !line.startsWith('client_ca_bundle'))
      const { code, stderr, stdout } = await checkConfig(lines.join('\n'))
      assert.notEqual(code, 0)
      assert.match(stdout + stderr, /client_auth[^\n]*client_ca_bundle/)
      await assert.rejects(serve(lines.join('\n')), /client_ca_bundle/)
    })

    test('optional without a CA bundle is ignored: nobody is asked', async () => {
      const toml = requiredTls
        .replace('"required"', '"optional"')
        .split('\n')
        .filter((line) => !line.startsWith('client_ca_bundle'))
      const server = await serve(toml.join('\n'), '[global.access_policy]\ndefault = "allow"\n')
      assert.deepEqual(await accessOf(server), all)
      assert.deepEqual(await accessOf(server, 'other'), all)
      await stopServer(server)
    })

    test('omitted with a CA bundle is optional', async () => {
      const toml = requiredTls.replace('client_auth = "required"\n', '')
      const server = await serve(toml, accessControl)
      assert.deepEqual(await accessOf(server), anonymous)
      assert.deepEqual(await accessOf(server, 'build-server'), all)
      await stopServer(server)
    })
  })

  describe('access control with certificates', () => {
    test('its rules let in the organization or the common name', async () => {
      const server = await serve(requiredTls, accessControl)
      const { clientCa } = scene.pki
      people.set(
        'infrastructure',
        await clientCa.clientCertificate({ organizations: ['Infrastructure'] }),
      )
      people.set('named', await clientCa.clientCertificate({ commonNames: ['build-server'] }))
      people.set('alike', await clientCa.clientCertificate({ organizations: ['Infrastructure 2'] }))
      for (const who of ['infrastructure', 'named'])
        assert.deepEqual(await accessOf(server, who), all)
      for (const who of ['other', 'alike', 'nameless']) {
        assert.deepEqual(await accessOf(server, who), forbidden, who)
      }
      await stopServer(server)
    })
  })

  describe('scenario 1', () => {
    test('lets in who has a common name, and nobody without a certificate', async () => {
      const server = await serve(requiredTls, requiredPolicy)
      assert.deepEqual(await accessOf(server, 'other'), all)
      assert.deepEqual(await accessOf(server, 'nameless'), forbidden)
      await assert.rejects(accessOf(server), /certificate required|ECONNRESET|handshake/)
      await stopServer(server)
    })
  })

  describe('scenario 2', () => {
    test('gives DevOps everything, others nothing, and asks who shows no certificate', async () => {
      const server = await serve(requiredTls.replace('"required"', '"optional"'), optionalPolicy)
      assert.deepEqual(await accessOf(server, 'devops'), all)
      assert.deepEqual(await accessOf(server), anonymous)
      const other = await accessOf(server, 'other')
      assert.deepEqual(other, forbidden)
      await stopServer(server)
    })

    test('lets users with a password read, with and without a certificate, and no more', async () => {
      const users = `[auth.identity.reader]\nusername = "reader"\npassword = ${JSON.stringify(readerHash)}\n`
      const server = await serve(
        requiredTls.replace('"required"', '"optional"'),
        optionalPolicy,
        users,
      )
      const reads: Access = { ping: 200, pull: 404, push: 403 }
      assert.deepEqual(await accessOf(server, undefined, 'a', readerPassword), reads)
      assert.deepEqual(await accessOf(server, 'other', 'a', readerPassword), reads)
      assert.deepEqual(await accessOf(server, 'devops', 'a', readerPassword), all)
      // A certificate that gives nothing does not keep its bearer from being asked for a password.
      assert.deepEqual(await accessOf(server, 'other'), anonymous)
      // At the login a wrong password is refused; elsewhere it identifies nobody.
      assert.deepEqual(await accessOf(server, undefined, 'a', 'wrong'), anonymous)
      await stopServer(server)
    })
  })

  describe('scenario 3', () => {
    test('alone denies all, and check-config says so', async () => {
      const { code, stdout, stderr } = await checkConfig(requiredTls, repositoryPolicies)
      assert.equal(code, 0, stderr)
      assert.match(stdout + stderr, /global\.access_policy/)
      const server = await serve(requiredTls, repositoryPolicies)
      for (const repository of ['dev/app', 'prod/app']) {
        for (const who of ['developer', 'platform']) {
          const { pull, push } = await accessOf(server, who, repository)
          assert.deepEqual([pull, push], [403, 403], `${who} in ${repository}`)
        }
      }
      await stopServer(server)
    })

    test('with the policy of scenario 1 gives each organization its repositories', async () => {
      const server = await serve(requiredTls, requiredPolicy, repositoryPolicies)
      const table: readonly (readonly [string, string, boolean])[] = [
        ['developer', 'dev', true],
        ['developer', 'dev/app', true],
        ['developer', 'prod/app', false],
        ['platform', 'prod', true],
        ['platform', 'prod/app', true],
        ['platform', 'dev/app', false],
        ['other', 'dev/app', false],
        // Whole components: neither name begins with a table's.
        ['other', 'development/app', true],
        ['developer', 'production', true],
      ]
      for (const [who, repository, isAllowed] of table) {
        const { pull, push } = await accessOf(server, who, repository)
        const expected = isAllowed ? [404, 202] : [403, 403]
        assert.deepEqual([pull, push], expected, `${who} in ${repository}`)
      }
      await stopServer(server)
    })
  })
})
