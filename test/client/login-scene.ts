// Answers for what the login tests of all clients share: one registry over TLS with a user, a provider of
// tokens, an API key, a directory and something public; and the round of requests that each client makes there.
import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { runCommand } from '../support/command-line.ts'
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts'
import { blobPath, type Image, makeImage } from '../support/images.ts'
import { RegistryClient } from '../support/registry-client.ts'
import type { Finished } from '../support/run.ts'
import {
  group,
  groups,
  needsSlapd,
  people,
  person,
  type Slapd,
  service,
  startSlapd,
} from '../support/slapd.ts'
import { type PkiScene, type TlsServer, usePki, useTlsServer } from '../support/tls-server.ts'

export const imageOptions = { layers: 1, bytesPerLayer: 200_000, seed: 'login' } as const
export const username = 'ci'
export const password = 'tuesday-fjord-lemon'
/** The name of the provider: the user name of those who have a token. */
export const provider = 'actions'
/** In the directory, where there is one. */
const dora = { username: 'dora', password: 'wonder land' }

export interface LoginScene extends PkiScene {
  readonly image: Image
  /** A folder in the form of certs.d, with the CA. */
  readonly certs: string
  get(): TlsServer
  token(): Promise<string>
  /** A new API key, for what is private and to read what is public. */
  apiKey(name: string): Promise<string>
}

/** One client, as it is typed. A pull takes nothing from what the client has already. */
export interface LoginClient {
  /** In repository names. */
  readonly name: string
  login(username: string, password: string): Promise<Finished>
  logout(): Promise<unknown>
  push(repository: string): Promise<Finished>
  pull(repository: string): Promise<Finished>
}

/** Stable parts of the client's messages. */
export interface LoginMessages {
  readonly wrongPassword: RegExp
  /** Whoever has not logged in may not. */
  readonly denied: RegExp
  /** Where the client does not pull what is public before its login: what it says. */
  readonly publicDenied?: RegExp
  /** The client believes any password, and shows a wrong one with the next request. */
  readonly believesAll?: true
}

/** How the registry takes credentials: with every request, or for a token that is shown with them. */
export interface LoginWay {
  readonly title: string
  readonly toml: string
}

export const withTokens: LoginWay = {
  title: 'with a login, for a token of the registry',
  toml: '[auth.token_service]\nservice = "registry.example.com"',
}
const ways: readonly LoginWay[] = [{ title: 'with a login', toml: '' }, withTokens]

/** The same tests each way. */
export function describeLogins(
  options: { readonly skip: string | false },
  body: (way: LoginWay) => void,
): void {
  for (const way of ways) describe(way.title, options, () => body(way))
}

function policies(idp: IdentityProvider, way: LoginWay, directory: string): string {
  return `
${way.toml}
[auth.identity.build]
username = "${username}"
password = ${JSON.stringify(hashPassword(password))}
[auth.oidc.${provider}]
issuer = ${JSON.stringify(idp.issuer)}
server_ca_bundle = ${JSON.stringify(idp.caFile)}
required_audience = [${JSON.stringify(idp.audience)}]
${directory}
[global.access_policy]
default = "deny"
rules = [
  "identity.username == '${username}'",
  "identity.username.startsWith('key:') && request.action != 'delete-manifest'",
  "'builders' in identity.groups",
  "identity.oidc != null && identity.oidc.provider_name == '${provider}' && identity.oidc.claims.sub == 'build'",
  "has(request.repository) && request.repository.startsWith('public/') && request.action in ['get-manifest', 'get-blob']",
]
`
}

function directoryTable({ pki }: PkiScene, slapd: Slapd | undefined): string {
  if (slapd === undefined) return ''
  return `
[auth.ldap.corp]
url = "ldaps://localhost:${slapd.tlsPort}"
server_ca_bundle = ${JSON.stringify(pki.serverCa.certificateFile)}
bind_dn = ${JSON.stringify(service.dn)}
bind_password = ${JSON.stringify(service.password)}
user_base = ${JSON.stringify(people)}
group_base = ${JSON.stringify(groups)}
timeout = "20s"
`
}

/** By the operator's command, over the running server's socket. */
async function createKey(scene: PkiScene, { server }: TlsServer, name: string): Promise<string> {
  const config = join(scene.dir, 'operator.toml')
  const socket = JSON.stringify(join(server.rootDir, '_keelson', 'admin.sock'))
  const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
  await writeFile(config, `${stores}[admin]\nsocket = ${socket}\n`)
  const scopes = ['repository:private/*:pull,push', 'repository:public/*:pull']
  const flags = ['--name', name, '--ttl', '1d', ...scopes.flatMap((scope) => ['--scope', scope])]
  const line = ['-c', config, 'token', 'create', ...flags]
  const { code, out, err } = await runCommand(line, scene.dir)
  assert.equal(code, 0, err)
  return out.trim()
}

/** Called in a `describe`: `public/app:v1` and `private/app:v1` are there. */
export function useLogins(way: LoginWay): LoginScene {
  const scene = usePki()
  let idp: IdentityProvider
  let slapd: Slapd | undefined
  let image: Image
  before(async () => {
    if (needsSlapd.skip === false) {
      const entries = `${person(dora.username, dora.password)}${group('builders', dora.username)}`
      slapd = await startSlapd({ dir: join(scene.dir, 'slapd'), pki: scene.pki, entries })
    }
    idp = await startIdentityProvider(scene.pki)
    image = await makeImage(join(scene.dir, 'made'), imageOptions)
    await mkdir(join(scene.dir, 'certs'))
    await copyFile(scene.pki.serverCa.certificateFile, join(scene.dir, 'certs', 'ca.crt'))
  })
  const product = useTlsServer(scene, () => ({
    toml: policies(idp, way, directoryTable(scene, slapd)),
  }))
  before(async () => {
    for (const name of ['public/app', 'private/app']) await seed(product.get(), name, image)
  })
  after(async () => {
    await idp.close()
    await slapd?.stop()
  })
  test('a user of the directory is somebody there', needsSlapd, async () => {
    const authorization = basic(dora.username, dora.password)
    const { status } = await fetch(`${product.get().server.url}/v2/`, {
      headers: { authorization },
    })
    assert.equal(status, 200)
  })
  return {
    dir: scene.dir,
    get pki() {
      return scene.pki
    },
    get image() {
      return image
    },
    certs: join(scene.dir, 'certs'),
    get: product.get,
    token: () => idp.sign(),
    apiKey: (name) => createKey(scene, product.get(), name),
  }
}

function basic(name: string, secret: string): string {
  return `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`
}

const headers = { authorization: basic(username, password) }

async function seed({ server }: TlsServer, name: string, image: Image): Promise<void> {
  const registry = new RegistryClient(server.url)
  const read = (digest: string): Promise<Buffer> => readFile(blobPath(image.dir, digest))
  for (const { digest } of [image.config, ...image.layers]) {
    const target = `/v2/${name}/blobs/uploads/?digest=${digest}`
    const { status } = await registry.call('POST', target, { headers, body: await read(digest) })
    assert.equal(status, 201)
  }
  const { digest, mediaType } = image.manifest
  const put = await registry.call('PUT', `/v2/${name}/manifests/v1`, {
    headers: { ...headers, 'content-type': mediaType },
    body: await read(digest),
  })
  assert.equal(put.status, 201)
  registry.close()
}

/** The registry has an image there with the config of ours, whose layers are therefore ours too. */
async function assertPushed({ get, image }: LoginScene, repository: string): Promise<void> {
  const { server } = get()
  const accept = [image.manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json']
  const answer = await fetch(`${server.url}/v2/${repository}/manifests/v1`, {
    headers: { ...headers, accept: accept.join(', ') },
  })
  assert.equal(answer.status, 200, repository)
  const manifest = (await answer.json()) as { readonly config: { readonly digest: string } }
  assert.equal(manifest.config.digest, image.config.digest)
}

function assertDone(what: string, { code, stdout, stderr }: Finished): void {
  assert.equal(code, 0, `${what}\n${stdout}\n${stderr}`)
}

function assertDenied(what: string, { code, stdout, stderr }: Finished, message: RegExp): void {
  assert.notEqual(code, 0, `${what} succeeded`)
  assert.match(`${stdout}\n${stderr}`, message, what)
}

/** What is public may be pulled, and nothing else be done. */
async function assertAnonymous(client: LoginClient, messages: LoginMessages): Promise<void> {
  const { denied, publicDenied } = messages
  const pulled = await client.pull('public/app')
  if (publicDenied === undefined) assertDone('an anonymous pull', pulled)
  else assertDenied('an anonymous pull', pulled, publicDenied)
  assertDenied('an anonymous pull of what is private', await client.pull('private/app'), denied)
  assertDenied('an anonymous push', await client.push('public/theirs'), denied)
}

/** Everything works between the login and the logout, and nothing private after it. */
async function assertLogin(
  scene: LoginScene,
  client: LoginClient,
  messages: LoginMessages,
  credential: { readonly username: string; readonly password: string; readonly target: string },
): Promise<void> {
  const { target } = credential
  assertDone('login', await client.login(credential.username, credential.password))
  assertDone('push', await client.push(target))
  await assertPushed(scene, target)
  assertDone('pull', await client.pull(target))
  assertDone('pull of what is public', await client.pull('public/app'))
  await client.logout()
  assertDenied('a pull after the logout', await client.pull(target), messages.denied)
}

/** A wrong password is called so, and gives nothing. */
async function assertWrong(client: LoginClient, messages: LoginMessages): Promise<void> {
  const { wrongPassword, believesAll } = messages
  const login = await client.login(username, `not-of-${client.name}`)
  if (believesAll !== true) return assertDenied('a wrong password', login, wrongPassword)
  assertDone('login', login)
  assertDenied('a pull with a wrong password', await client.pull('private/app'), wrongPassword)
  await client.logout()
}

/** The whole round: anonymous, a wrong password, a user, a token, an API key, a user of the directory. */
export async function assertClientLogsIn(
  scene: LoginScene,
  client: LoginClient,
  messages: LoginMessages,
): Promise<void> {
  await assertAnonymous(client, messages)
  await assertWrong(client, messages)
  const target = `private/${client.name}`
  await assertLogin(scene, client, messages, { username, password, target })
  const token = { username: provider, password: await scene.token(), target: `${target}-token` }
  await assertLogin(scene, client, messages, token)
  const key = { username: 'deploy', password: await scene.apiKey(client.name) }
  await assertLogin(scene, client, messages, { ...key, target: `${target}-key` })
  if (needsSlapd.skip !== false) return
  await assertLogin(scene, client, messages, { ...dora, target: `${target}-directory` })
}
