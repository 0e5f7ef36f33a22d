// The user that a trusted gateway names in a header. Whether the sender is that gateway is asked first:
// anybody can write a header.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../config/secret.ts'
import type { ClientCertificate } from '../http/client-certificate.ts'
import { createNetworks, type Networks } from '../http/networks.ts'
import { anonymous, type Identity } from './identity.ts'

/** `[auth.gateway]`. A secret, common names or both: an address alone proves little. */
export interface GatewayConfig {
  /** Addresses and CIDR ranges that gateways connect from. */
  readonly proxies: readonly string[]
  readonly header: string
  /** Undefined: the gateway names no groups. */
  readonly groupsHeader: string | undefined
  readonly secretHeader: string
  readonly sharedSecret: Secret | undefined
  /** Of client certificates of gateways. */
  readonly commonNames: readonly string[]
}

/** What of a request a gateway is known by. An `Exchange` of the server is one. */
export interface GatewayRequest {
  /**
   * Of the connection: the peer's, or the one that a trusted PROXY header names. Never an address of
   * X-Forwarded-For, which says who the gateway's client is.
   */
  readonly remoteAddress: string
  readonly certificate: ClientCertificate | undefined
  /** Value of a header, by lower-case name; '' where absent. */
  header(name: string): string
  /** The value of every line of a header. */
  headerLines(name: string): readonly string[]
}

export interface GatewayUser {
  readonly username: string
  readonly groups: readonly string[]
}

/** Why a gateway's word is refused: for the log. */
export type GatewayProblem =
  | 'repeated-header'
  | 'unfit-username'
  | 'unfit-groups'
  | 'username-mismatch'

/** What a gateway says of a request: who sent it, or that it knows nobody. */
export type GatewayWord =
  | { readonly problem: GatewayProblem }
  | { readonly problem: undefined; readonly user: GatewayUser | undefined }

/** A header that was ignored; `ignored` counts those since the last time that this was told. */
export interface IgnoredHeader {
  readonly peerAddress: string
  readonly ignored: number
}

export interface GatewayOptions {
  readonly config: GatewayConfig
  /** User names of these prefixes belong to other methods. */
  readonly reservedPrefixes: readonly string[]
  /** At most once a minute. */
  readonly onIgnored: (header: IgnoredHeader) => void
  /** Monotonic, in ms. */
  readonly elapsed: () => number
}

// As header fields may be: no control character, and nothing that transports decode differently.
const usernameForm = /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/
const groupForm = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
const groupsMax = 256
const groupLengthMax = 256
const toldEveryMs = 60_000
// One object for one user, so that later stages can keep what they know of it. About 500 bytes each.
const usersMax = 4096
const usersPerCredentialMax = 16

/** One per runtime. */
export class Gateway {
  readonly #options: GatewayOptions
  readonly #header: string
  readonly #groupsHeader: string | undefined
  readonly #secretHeader: string
  readonly #secretSha256: Buffer | undefined
  readonly #commonNames: ReadonlySet<string>
  readonly #proxies: Networks
  readonly #joined = new WeakMap<Identity, Map<string, Identity>>()
  #ignored = 0
  #untold = 0
  #toldAtMs = Number.NEGATIVE_INFINITY

  constructor(options: GatewayOptions) {
    this.#options = options
    const { config } = options
    this.#header = config.header.toLowerCase()
    this.#groupsHeader = config.groupsHeader?.toLowerCase()
    this.#secretHeader = config.secretHeader.toLowerCase()
    const { sharedSecret } = config
    this.#secretSha256 = sharedSecret === undefined ? undefined : sha256(sharedSecret.reveal())
    this.#commonNames = new Set(config.commonNames)
    this.#proxies = createNetworks(config.proxies)
  }

  /** Headers that named a user and did not come from a gateway. */
  get ignored(): number {
    return this.#ignored
  }

  /**
   * Undefined where the request does not come from a gateway: its header then counts for nothing.
   * Otherwise the connection's certificate is the gateway's, and says nothing of the user.
   */
  wordOf(request: GatewayRequest): GatewayWord | undefined {
    const proof = this.#proofOf(request)
    if (proof === undefined) {
      if (request.header(this.#header) !== '') this.#ignore(request.remoteAddress)
      return undefined
    }
    if (proof === 'repeated-header') return { problem: proof }
    const lines = request.headerLines(this.#header)
    const groupLines =
      this.#groupsHeader === undefined ? [] : request.headerLines(this.#groupsHeader)
    // One of them could be the client's own, passed on beside the gateway's.
    if (lines.length > 1 || groupLines.length > 1) return { problem: 'repeated-header' }
    const [username = ''] = lines
    if (username === '') return { problem: undefined, user: undefined }
    const { reservedPrefixes } = this.#options
    const isReserved = reservedPrefixes.some((prefix) => username.startsWith(prefix))
    if (!usernameForm.test(username) || isReserved) return { problem: 'unfit-username' }
    const groups = readGroups(groupLines[0] ?? '')
    if (groups === undefined) return { problem: 'unfit-groups' }
    return { problem: undefined, user: { username, groups } }
  }

  /**
   * The same object for the same parts; `isNew` where it was not known. `onNew` is told before it is
   * remembered: where that throws, it is new the next time, too.
   */
  join(
    identity: Identity,
    user: GatewayUser,
    onNew: (joined: Identity) => void,
  ):
    | { readonly problem: GatewayProblem }
    | { readonly identity: Identity; readonly isNew: boolean } {
    const { username } = identity
    if (username !== null && username !== user.username) return { problem: 'username-mismatch' }
    let known = this.#joined.get(identity)
    if (known === undefined) {
      known = new Map()
      this.#joined.set(identity, known)
    }
    // Neither can hold a line break.
    const key = [user.username, ...user.groups].join('\n')
    const before = known.get(key)
    if (before !== undefined) return { identity: before, isNew: false }
    const groups = Object.freeze([...new Set([...identity.groups, ...user.groups])])
    if (groups.length > groupsMax) return { problem: 'unfit-groups' }
    const authMethod = username === null ? 'gateway' : identity.authMethod
    const both = Object.freeze({ ...identity, username: user.username, groups, authMethod })
    onNew(both)
    known.set(key, both)
    const max = identity === anonymous ? usersMax : usersPerCredentialMax
    const [oldest] = known.keys()
    if (known.size > max && oldest !== undefined) known.delete(oldest)
    return { identity: both, isNew: true }
  }

  #proofOf(request: GatewayRequest): 'proven' | 'repeated-header' | undefined {
    const { remoteAddress, certificate } = request
    if (!this.#proxies.has(remoteAddress)) return undefined
    const names = certificate?.commonNames ?? []
    if (names.some((name) => this.#commonNames.has(name))) return 'proven'
    if (this.#secretSha256 === undefined) return undefined
    const [secret = '', ...others] = request.headerLines(this.#secretHeader)
    if (others.length > 0) return 'repeated-header'
    return timingSafeEqual(sha256(secret), this.#secretSha256) ? 'proven' : undefined
  }

  #ignore(peerAddress: string): void {
    this.#ignored += 1
    this.#untold += 1
    const nowMs = this.#options.elapsed()
    if (nowMs - this.#toldAtMs < toldEveryMs) return
    this.#toldAtMs = nowMs
    this.#options.onIgnored({ peerAddress, ignored: this.#untold })
    this.#untold = 0
  }
}

function readGroups(line: string): readonly string[] | undefined {
  if (line.trim() === '') return []
  const groups = line.split(',').map((group) => group.trim())
  const isFit = (group: string): boolean => group.length <= groupLengthMax && groupForm.test(group)
  return groups.length <= groupsMax && groups.every(isFit) ? groups : undefined
}

// Of the same length, whatever was sent. The text of a header is Latin-1 or UTF-8 as the transport has it.
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
