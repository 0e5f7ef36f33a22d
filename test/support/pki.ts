// Answers for certificates in tests: real authorities, made with the openssl command in a folder.
import { createPrivateKey, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './run.ts'
import { needs } from './tools.ts'

/** Options for `test()`: skipped where openssl is absent. */
export const needsOpenssl: { readonly skip: string | false } = needs('openssl')

export type KeyKind = 'p256' | 'rsa' | 'ed25519'

/** What a certificate shall say. Every part has a sound default. */
export interface CertificateOptions {
  /** One CN each, in this order; default one that tells the kind. */
  readonly commonNames?: readonly string[]
  /** One O each, before the CNs; default none. */
  readonly organizations?: readonly string[]
  /** In openssl's notation: `DNS:a`, `IP:::1`, `URI:spiffe://…`, `email:a@b`. */
  readonly sans?: readonly string[]
  /** Default P-256. */
  readonly key?: KeyKind
  /** Encrypts the key file; `keyPem` is what the file holds. */
  readonly passphrase?: string
  /** Default yesterday. */
  readonly notBefore?: Date
  /** Default in 30 days. */
  readonly notAfter?: Date
  /** Default serverAuth or clientAuth; '' for none at all. */
  readonly extendedKeyUsage?: string
  /** Hexadecimal, an even number of digits; default 15 random bytes. */
  readonly serial?: string
  /** True: nothing but the signature tells the issuer from another of the same name. */
  readonly withoutKeyIdentifiers?: boolean
}

/** One issued certificate: paths of its files, and what is in them. */
export interface Certificate {
  readonly certificateFile: string
  readonly keyFile: string
  /** The leaf and its intermediates, without the root. */
  readonly bundleFile: string
  readonly pem: string
  readonly keyPem: string
  readonly bundlePem: string
  /** Upper-case hexadecimal, as openssl prints it. */
  readonly serial: string
}

/** A file and its text. */
export interface PemFile {
  readonly file: string
  readonly pem: string
}

export interface CrlOptions {
  /** Default now. */
  readonly thisUpdate?: Date
  /** Default in 7 days. */
  readonly nextUpdate?: Date
}

export interface OcspOptions {
  /** Default 24 hours; `undefined` in an explicit property leaves nextUpdate out. */
  readonly minutes?: number | undefined
}

export interface Pki {
  readonly folder: string
  readonly serverCa: Authority
  readonly clientCa: Authority
  /** P-256, by the server CA: localhost, 127.0.0.1, ::1, registry.test. */
  readonly server: Certificate
  /** P-256, by the client CA: CN build-server, O Infrastructure. */
  readonly client: Certificate
  /** Another root with the client CA's name but a key of its own. */
  rogueCa(): Promise<Authority>
  /** One more root. */
  authority(name: string, options?: CertificateOptions): Promise<Authority>
}

const dayMs = 86_400_000
const serverSans = ['DNS:localhost', 'DNS:registry.test', 'IP:127.0.0.1', 'IP:::1']

/** Make both authorities and one certificate of each in `folder`, which the caller removes. */
export async function createPki(folder: string): Promise<Pki> {
  const [serverCa, clientCa] = await Promise.all([
    createAuthority(join(folder, 'server-ca'), { commonNames: ['Server CA'] }),
    createAuthority(join(folder, 'client-ca'), { commonNames: ['Client CA'] }),
  ])
  const [server, client] = await Promise.all([
    serverCa.serverCertificate(),
    clientCa.clientCertificate({
      commonNames: ['build-server'],
      organizations: ['Infrastructure'],
    }),
  ])
  let count = 0
  const authority = (name: string, options: CertificateOptions = {}): Promise<Authority> => {
    count += 1
    return createAuthority(join(folder, `root-${count}`), { commonNames: [name], ...options })
  }
  return { folder, serverCa, clientCa, server, client, authority, rogueCa }

  function rogueCa(): Promise<Authority> {
    return authority('Client CA')
  }
}

async function createAuthority(
  folder: string,
  options: CertificateOptions,
  parent?: Authority,
): Promise<Authority> {
  await mkdir(join(folder, 'issued'), { recursive: true })
  await writeFile(join(folder, 'index.txt'), '')
  await writeFile(join(folder, 'crlnumber'), '01\n')
  await writeFile(join(folder, 'openssl.cnf'), databaseConfiguration(folder))
  const subject = await requestFor(folder, 'ca', options)
  const extensions = [
    'basicConstraints=critical,CA:TRUE',
    'keyUsage=critical,keyCertSign,cRLSign,digitalSignature',
    'subjectKeyIdentifier=hash',
  ]
  const request: SigningRequest = {
    options: { notAfter: new Date(Date.now() + 3650 * dayMs), ...options },
    request: subject.request,
    certificateFile: join(folder, 'ca.pem'),
    extensions,
  }
  if (parent === undefined) await sign(folder, request, ['-selfsign', '-keyfile', subject.keyFile])
  else await parent.sign(request)
  const pem = await readFile(join(folder, 'ca.pem'), 'utf8')
  return new Authority(folder, pem, parent)
}

/** One CA with its own database. Its operations run one after another. */
export class Authority {
  readonly folder: string
  readonly certificateFile: string
  readonly keyFile: string
  readonly pem: string
  readonly #parent: Authority | undefined
  #count = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(folder: string, pem: string, parent: Authority | undefined) {
    this.folder = folder
    this.certificateFile = join(folder, 'ca.pem')
    this.keyFile = join(folder, 'ca.key')
    this.pem = pem
    this.#parent = parent
  }

  serverCertificate(options: CertificateOptions = {}): Promise<Certificate> {
    return this.#issue('server', {
      commonNames: ['registry.test'],
      sans: serverSans,
      extendedKeyUsage: 'serverAuth',
      ...options,
    })
  }

  clientCertificate(options: CertificateOptions = {}): Promise<Certificate> {
    return this.#issue('client', {
      commonNames: ['client'],
      extendedKeyUsage: 'clientAuth',
      ...options,
    })
  }

  /** A CA below this one; its certificates' bundles hold its own certificate too. */
  async intermediate(name: string, options: CertificateOptions = {}): Promise<Authority> {
    this.#count += 1
    const folder = join(this.folder, `intermediate-${this.#count}`)
    return createAuthority(folder, { commonNames: [name], ...options }, this)
  }

  /** Shown by the lists and the OCSP responses that are made afterwards. */
  async revoke(certificate: Pick<Certificate, 'certificateFile'>): Promise<void> {
    await this.#ca('-revoke', certificate.certificateFile, ...this.#signer())
  }

  /** A revocation list of what is revoked now. */
  async crl(options: CrlOptions = {}): Promise<PemFile> {
    this.#count += 1
    const file = join(this.folder, `${this.#count}.crl.pem`)
    const { thisUpdate = new Date(), nextUpdate = new Date(Date.now() + 7 * dayMs) } = options
    const dates = ['-crl_lastupdate', stamp(thisUpdate), '-crl_nextupdate', stamp(nextUpdate)]
    await this.#ca('-gencrl', '-out', file, ...dates, ...this.#signer())
    return { file, pem: await readFile(file, 'utf8') }
  }

  /** DER of an OCSP response for a certificate of this CA: good, or revoked after `revoke`. */
  async ocspResponse(
    certificate: Pick<Certificate, 'certificateFile'>,
    options: OcspOptions = {},
  ): Promise<{ readonly file: string; readonly der: Buffer }> {
    this.#count += 1
    const file = join(this.folder, `${this.#count}.ocsp.der`)
    const minutes = 'minutes' in options ? options.minutes : 24 * 60
    const validity = minutes === undefined ? [] : ['-nmin', String(minutes)]
    const ca = this.certificateFile
    const index = ['-index', join(this.folder, 'index.txt'), '-CA', ca]
    const signer = ['-rsigner', ca, '-rkey', this.keyFile]
    const subject = ['-issuer', ca, '-cert', certificate.certificateFile]
    await this.#after(() =>
      run('openssl', ['ocsp', ...index, ...signer, ...subject, ...validity, '-respout', file]),
    )
    return { file, der: await readFile(file) }
  }

  sign(request: SigningRequest): Promise<void> {
    return this.#after(() => sign(this.folder, request, this.#signer()))
  }

  async #issue(kind: string, options: CertificateOptions): Promise<Certificate> {
    this.#count += 1
    const name = `${kind}-${this.#count}`
    const { request, keyFile } = await requestFor(this.folder, name, options)
    const certificateFile = join(this.folder, `${name}.pem`)
    const { sans = [], extendedKeyUsage = '', withoutKeyIdentifiers = false } = options
    const extensions = ['basicConstraints=CA:FALSE', 'keyUsage=digitalSignature']
    if (extendedKeyUsage !== '') extensions.push(`extendedKeyUsage=${extendedKeyUsage}`)
    if (withoutKeyIdentifiers) extensions.push(...withoutIdentifiers)
    if (sans.length > 0) extensions.push('subjectAltName=@sans', '[sans]', ...sans.map(sanLine))
    await this.sign({ options, request, certificateFile, extensions })
    const pem = await readFile(certificateFile, 'utf8')
    const bundlePem = pem + this.#chain()
    const bundleFile = join(this.folder, `${name}.bundle.pem`)
    await writeFile(bundleFile, bundlePem)
    const keyPem = await readFile(keyFile, 'utf8')
    const serial = (await this.#serialOf(certificateFile)).replace('serial=', '')
    return { certificateFile, keyFile, bundleFile, pem, keyPem, bundlePem, serial }
  }

  #chain(): string {
    return this.#parent === undefined ? '' : this.pem + this.#parent.#chain()
  }

  #serialOf(certificateFile: string): Promise<string> {
    return run('openssl', ['x509', '-noout', '-serial', '-in', certificateFile])
  }

  #signer(): readonly string[] {
    return ['-keyfile', this.keyFile, '-cert', this.certificateFile]
  }

  #ca(...args: readonly string[]): Promise<string> {
    return this.#after(() => run('openssl', ['ca', ...configured(this.folder), ...args]))
  }

  /** The openssl database takes one writer at a time. */
  #after<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation)
    this.#last = result.catch(() => undefined)
    return result
  }
}

interface SigningRequest {
  readonly options: CertificateOptions
  readonly request: string
  readonly certificateFile: string
  /** Lines of an openssl section, and whole sections after it. */
  readonly extensions: readonly string[]
}

async function sign(
  folder: string,
  { options, request, certificateFile, extensions }: SigningRequest,
  signer: readonly string[],
): Promise<void> {
  const {
    notBefore = new Date(Date.now() - dayMs),
    notAfter = new Date(Date.now() + 30 * dayMs),
    serial = `01${randomBytes(14).toString('hex')}`,
  } = options
  await writeFile(join(folder, 'serial'), `${serial}\n`)
  const extensionFile = `${certificateFile}.ext`
  await writeFile(extensionFile, `[leaf]\n${extensions.join('\n')}\n`)
  const dates = ['-startdate', stamp(notBefore), '-enddate', stamp(notAfter)]
  const files = ['-in', request, '-out', certificateFile, '-extfile', extensionFile]
  const flags = ['-batch', '-notext', '-utf8', '-preserveDN', '-extensions', 'leaf']
  await run('openssl', ['ca', ...configured(folder), ...flags, ...files, ...dates, ...signer])
}

function configured(folder: string): readonly string[] {
  return ['-config', join(folder, 'openssl.cnf')]
}

const keyArguments: Readonly<Record<KeyKind, readonly string[]>> = {
  p256: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['rsa:2048'],
  ed25519: ['ed25519'],
}

/** A key file and a request for it. */
async function requestFor(
  folder: string,
  name: string,
  options: CertificateOptions,
): Promise<{ readonly keyFile: string; readonly request: string }> {
  const keyFile = join(folder, `${name}.key`)
  const request = join(folder, `${name}.csr`)
  const { commonNames = [], organizations = [], key = 'p256', passphrase } = options
  const subject = [...organizations.map((o) => ['O', o]), ...commonNames.map((cn) => ['CN', cn])]
  // A slash and a plus would begin the next part.
  const parts = subject.map(([type, value]) => `/${type}=${value?.replace(/[\\/+]/g, '\\$&')}`)
  const files = ['-nodes', '-keyout', keyFile, '-out', request]
  const subjectName = ['-utf8', '-subj', parts.join('') || '/']
  const config = configured(folder)
  await run('openssl', [
    'req',
    '-new',
    ...config,
    '-newkey',
    ...keyArguments[key],
    ...files,
    ...subjectName,
  ])
  if (passphrase !== undefined) await encrypt(keyFile, passphrase)
  return { keyFile, request }
}

async function encrypt(keyFile: string, passphrase: string): Promise<void> {
  const key = createPrivateKey(await readFile(keyFile))
  const cipher = 'aes-256-cbc'
  const pem = key.export({ type: 'pkcs8', format: 'pem', cipher, passphrase })
  await writeFile(keyFile, pem, { mode: 0o600 })
}

const withoutIdentifiers = ['subjectKeyIdentifier=none', 'authorityKeyIdentifier=none']

function sanLine(san: string, index: number): string {
  const colon = san.indexOf(':')
  const value = san
    .slice(colon + 1)
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
  return `${san.slice(0, colon)}.${index + 1} = ${value}`
}

/** Units: whole seconds, in the form YYYYMMDDHHMMSSZ. */
function stamp(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`
}

function databaseConfiguration(folder: string): string {
  return `[ca]
default_ca = here
[here]
database = ${join(folder, 'index.txt')}
new_certs_dir = ${join(folder, 'issued')}
serial = ${join(folder, 'serial')}
crlnumber = ${join(folder, 'crlnumber')}
default_md = sha256
policy = any
unique_subject = no
email_in_dn = yes
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = unused
string_mask = utf8only
[unused]
`
}
