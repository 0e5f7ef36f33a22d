// Answers for what the login tests of all clients share: a registry over TLS with a user, a provider
// of tokens and something public; and the round of requests that each client makes there.
import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts'
import { blobPath, type Image, makeImage } from '../support/images.ts'
import { RegistryClient } from '../support/registry-client.ts'
import type { Finished } from '../support/run.ts'
import { type PkiScene, type TlsServer, usePki, useTlsServer } from '../support/tls-server.ts'

export const imageOptions = { layers: 1, bytesPerLayer: 200_000, seed: 'login' } as const
export const username = 'ci'
export const password = 'tuesday-fjord-lemon'
/** The name of the provider: the user name of those who have a token. */
export const provider = 'actions'

export interface LoginScene extends PkiScene {
  readonly image: Image
  /** A folder in the form of certs.d, with the CA. */
  readonly certs: string
  get(): TlsServer
  token(): Promise<string>
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

function policies(idp: IdentityProvider, way: LoginWay): string {
  return `
${way.toml}
[auth.identity.build]
username = "${username}"
password = ${JSON.stringify(hashPassword(password))}
[auth.oidc.${provider}]
issuer = ${JSON.stringify(idp.issuer)}
server_ca_bundle = ${JSON.stringify(idp.caFile)}
required_audience = [${JSON.stringify(idp.audience)}]
[global.access_policy]
default = "deny"
rules = [
  "identity.username == '${username}'",
  "identity.oidc != null && identity.oidc.provider_name == '${provider}' && identity.oidc.claims.sub == 'build'",
  "has(request.repository) && request.repository.startsWith('public/') && request.action in ['get-manifest', 'get-blob']",
]
`
}

/** Called in a `describe`: `public/app:v1` and `private/app:v1` are there. */
export function useLogins(way: LoginWay): LoginScene {
  const scene = usePki()
  let idp: IdentityProvider
  let image: Image
  before(async () => {
    idp = await startIdentityProvider(scene.pki)
    image = await makeImage(join(scene.dir, 'made'), imageOptions)
    await mkdir(join(scene.dir, 'certs'))
    await copyFile(scene.pki.serverCa.certificateFile, join(scene.dir, 'certs', 'ca.crt'))
  })
  const product = useTlsServer(scene, () => ({ toml: policies(idp, way) }))
  before(async () => {
    for (const name of ['public/app', 'private/app']) await seed(product.get(), name, image)
  })
  after(() => idp.close())
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
  }
}

const headers = {
  authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
}

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

/** The whole round: anonymous, a wrong password, a user, a token. */
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
}
