// Answers for a real identity provider in tests: oidc-provider over TLS on loopback, which can rotate
// its keys, go away, and give tokens of its own or whatever claims a test wants under its keys.
import { once } from 'node:events'
import type {
  IncomingMessage,
  Server as PlainServer,
  RequestListener,
  ServerResponse,
} from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { importJWK, type JWK, SignJWT } from 'jose'
import { Agent, request } from 'undici'
import { freshKeyPair } from './fresh-key.ts'
import type { Pki } from './pki.ts'

/** What a token that a test signs shall be like; what is undefined is left out. */
export interface TokenOptions {
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
  /** Default the provider's current key; its `kid` and `alg` go into the header. */
  readonly key?: JWK
}

export interface IdentityProviderOptions {
  /** Default https://registry.test, for the tokens that the provider itself gives. */
  readonly audience?: string
  /** Claims of the tokens that the provider itself gives, besides its own. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Whether clients of its listener must show a certificate of the PKI's client CA. */
  readonly wantsCertificate?: boolean
}

export interface IdentityProvider {
  readonly issuer: string
  /** PEM file of the CA that its certificate is from. */
  readonly caFile: string
  readonly audience: string
  /**
   * Where tokens can be asked about, by the client `introspectionClient`. The answers are the test's own:
   * oidc-provider refuses to tell of tokens that are JWTs, as `/token/introspection` shows.
   */
  readonly introspectionUrl: string
  /** Private, the one that signs. */
  readonly key: JWK
  /** Requests so far, by path. */
  readonly requests: ReadonlyMap<string, number>
  /** The headers of the last request, by path. */
  readonly lastHeaders: ReadonlyMap<string, IncomingMessage['headers']>
  /** A token of the provider's own, by its token endpoint: RS256 or ES256 as its key. */
  token(): Promise<string>
  /** A token under the provider's key, with claims that are all right unless the test says otherwise. */
  sign(options?: TokenOptions): Promise<string>
  /** The old keys are gone, unless `keep`. */
  rotate(options?: { readonly alg?: 'RS256' | 'ES256'; readonly keep?: boolean }): Promise<void>
  /** Answers that path, such as `/jwks`, in its stead; undefined: the provider does again. */
  answer(path: string, listener: RequestListener | undefined): void
  /** From now on the endpoint says that the token does not count. */
  revoke(token: string): void
  /** Nobody listens, and all connections end. */
  stop(): Promise<void>
  /** Listens again, on the same port. */
  start(): Promise<void>
  close(): Promise<void>
}

/** What of oidc-provider is used, which has no types of its own. */
interface ProviderClass {
  new (
    issuer: string,
    configuration: object,
  ): {
    callback(): RequestListener
  }
}

// Not a literal, since the compiler would look for types.
const packageName: string = 'oidc-provider'
const client = { id: 'ci', secret: 'the secret of ci' }
/** Both hold what HTTP Basic needs encoded, as RFC 6749 §2.3.1 has it. */
export const introspectionClient: { readonly id: string; readonly secret: string } = {
  id: 'registry:a',
  secret: 'a secret + 100 %',
}
let keys = 0

/** A private key with a `kid` that no other has. */
export async function createKey(alg: 'RS256' | 'RS384' | 'ES256' | 'ES384'): Promise<JWK> {
  const kind = alg.startsWith('RS') ? 'RSA-2048' : alg === 'ES256' ? 'P-256' : 'P-384'
  const { privateKey } = freshKeyPair(kind)
  keys += 1
  return { ...(privateKey.export({ format: 'jwk' }) as JWK), alg, use: 'sig', kid: `key-${keys}` }
}

export async function startIdentityProvider(
  pki: Pki,
  options: IdentityProviderOptions = {},
): Promise<IdentityProvider> {
  const provider = new RunningProvider(pki, options)
  await provider.start()
  await provider.rotate()
  return provider
}

class RunningProvider implements IdentityProvider {
  readonly audience: string
  readonly caFile: string
  readonly requests: Map<string, number> = new Map()
  readonly lastHeaders: Map<string, IncomingMessage['headers']> = new Map()
  readonly #pki: Pki
  readonly #options: IdentityProviderOptions
  readonly #answers = new Map<string, RequestListener>()
  readonly #agent: Agent
  readonly #revoked = new Set<string>()
  #server: PlainServer | undefined
  #port = 0
  #keys: readonly JWK[] = []
  #listener: RequestListener = (_request, response) => void response.writeHead(503).end()

  constructor(pki: Pki, options: IdentityProviderOptions) {
    this.#pki = pki
    this.#options = options
    this.audience = options.audience ?? 'https://registry.test'
    this.caFile = pki.serverCa.certificateFile
    const { client: own } = pki
    this.#agent = new Agent({
      connect: { ca: pki.serverCa.pem, cert: own.bundlePem, key: own.keyPem },
    })
  }

  get issuer(): string {
    return `https://localhost:${this.#port}`
  }

  get introspectionUrl(): string {
    return `${this.issuer}/introspect`
  }

  get key(): JWK {
    const [key] = this.#keys
    if (key === undefined) throw new Error('the provider has no key yet')
    return key
  }

  async token(): Promise<string> {
    const login = Buffer.from(
      [client.id, client.secret].map((text) => encodeURIComponent(text)).join(':'),
    ).toString('base64')
    const { statusCode, body } = await request(`${this.issuer}/token`, {
      dispatcher: this.#agent,
      method: 'POST',
      headers: {
        authorization: `Basic ${login}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        resource: this.audience,
      }).toString(),
    })
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`the token endpoint answers ${statusCode}: ${text}`)
    return (JSON.parse(text) as { readonly access_token: string }).access_token
  }

  async sign({ claims = {}, header = {}, key = this.key }: TokenOptions = {}): Promise<string> {
    const nowSeconds = Math.floor(Date.now() / 1000)
    const { alg = 'RS256', kid } = key
    const all = {
      iss: this.issuer,
      aud: this.audience,
      sub: 'build',
      iat: nowSeconds,
      exp: nowSeconds + 300,
      ...claims,
    }
    return new SignJWT(all)
      .setProtectedHeader({ alg, typ: 'JWT', ...(kid === undefined ? {} : { kid }), ...header })
      .sign(await importJWK(key, alg))
  }

  async rotate(options: { readonly alg?: 'RS256' | 'ES256'; readonly keep?: boolean } = {}) {
    const { alg = 'RS256', keep = false } = options
    this.#keys = [await createKey(alg), ...(keep ? this.#keys : [])]
    const { default: Provider } = (await import(packageName)) as { default: ProviderClass }
    this.#listener = new Provider(this.issuer, this.#configuration(alg)).callback()
  }

  answer(path: string, listener: RequestListener | undefined): void {
    if (listener === undefined) this.#answers.delete(path)
    else this.#answers.set(path, listener)
  }

  revoke(token: string): void {
    this.#revoked.add(token)
  }

  async start(): Promise<void> {
    const { server, clientCa } = this.#pki
    const { wantsCertificate = false } = this.#options
    this.#server = createServer(
      {
        cert: server.bundlePem,
        key: server.keyPem,
        ...(wantsCertificate ? { ca: clientCa.pem, requestCert: true } : {}),
      },
      (incoming, response) => this.#serve(incoming, response),
    )
    this.#server.listen(this.#port, 'localhost')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
    await this.stop()
  }

  #serve(incoming: IncomingMessage, response: ServerResponse): void {
    const path = new URL(incoming.url ?? '/', this.issuer).pathname
    this.requests.set(path, (this.requests.get(path) ?? 0) + 1)
    this.lastHeaders.set(path, incoming.headers)
    const own = path === '/introspect' ? this.#introspect : this.#listener
    const listener = this.#answers.get(path) ?? own
    listener(incoming, response as Parameters<RequestListener>[1])
  }

  readonly #introspect: RequestListener = (incoming, response) => {
    const { id, secret } = introspectionClient
    const login = [id, secret].map((text) => encodeURIComponent(text).replaceAll('%20', '+'))
    const expected = `Basic ${Buffer.from(login.join(':')).toString('base64')}`
    if (incoming.method !== 'POST' || incoming.headers.authorization !== expected) {
      response.writeHead(401).end()
      return
    }
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const form = new URLSearchParams(Buffer.concat(chunks).toString())
      const active = !this.#revoked.has(form.get('token') ?? '')
      response.end(JSON.stringify(active ? { active, sub: 'build' } : { active }))
    })
  }

  #configuration(alg: 'RS256' | 'ES256'): object {
    const { audience } = this
    return {
      clients: [
        {
          client_id: client.id,
          client_secret: client.secret,
          grant_types: ['client_credentials'],
          redirect_uris: [],
          response_types: [],
          id_token_signed_response_alg: alg,
        },
      ],
      cookies: { keys: ['for tests alone'] },
      jwks: { keys: this.#keys },
      extraTokenClaims: () => this.#options.claims ?? {},
      ttl: { ClientCredentials: 300 },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({
            scope: 'pull push',
            audience,
            accessTokenFormat: 'jwt',
            accessTokenTTL: 300,
            jwt: { sign: { alg } },
          }),
        },
      },
    }
  }
}
