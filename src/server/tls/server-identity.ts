// Checks what the server shows: its certificate, the chain, and the key that must fit.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readAltNames, readPurposes } from './certificate-fields.ts'
import { type BundleCertificate, isIssuedBy, parseBundle, timeRefusal } from './certificates.ts'
import { pemBlocks } from './pem.ts'
import { TlsFileError } from './tls-files.ts'

/** A checked certificate with its key. */
export interface ServerIdentity {
  readonly chain: readonly [leaf: BundleCertificate, ...issuers: BundleCertificate[]]
  /** PEM, decrypted. */
  readonly privateKey: string
  /** DNS names and addresses of the leaf. */
  readonly names: readonly string[]
}

interface FileContent {
  readonly path: string
  readonly content: Buffer
}

/** Errors: TlsFileError. */
export function checkServerIdentity(
  bundle: FileContent,
  key: FileContent & { readonly passphrase: string | undefined },
  nowMs: number,
): ServerIdentity {
  const [leaf, ...issuers] = parseBundle(bundle.path, bundle.content)
  if (leaf === undefined) throw new TlsFileError(bundle.path, 'it is empty', 'write it again')
  checkChain(bundle.path, [leaf, ...issuers], nowMs)
  checkPurpose(bundle.path, leaf)
  const privateKey = openKey(key)
  if (!leaf.x509.checkPrivateKey(privateKey)) {
    const reason = `the key does not fit ${leaf.label} of ${bundle.path}`
    const remedy = 'put the key and the certificate of one renewal there, the leaf first'
    throw new TlsFileError(key.path, reason, remedy)
  }
  return {
    chain: [leaf, ...issuers],
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    names: namesOf(leaf),
  }
}

function checkChain(path: string, chain: readonly BundleCertificate[], nowMs: number): void {
  for (const [index, { x509, fields, label }] of chain.entries()) {
    const refusal = timeRefusal(fields, nowMs)
    if (refusal !== undefined) {
      throw new TlsFileError(path, `${label} is ${refusal}`, 'renew it, and check the clock')
    }
    const issuer = chain[index + 1]
    if (issuer === undefined || isIssuedBy(x509, issuer.x509)) continue
    const reason = `${label} was not issued by ${issuer.label}`
    const remedy = 'order the file from the server certificate to its issuers, each once'
    throw new TlsFileError(path, reason, remedy)
  }
}

// serverAuth and anyExtendedKeyUsage. Source: RFC 5280 §4.2.1.12.
const serverPurposes = ['2b06010505070301', '551d2500']

function checkPurpose(path: string, leaf: BundleCertificate): void {
  const purposes = readPurposes(leaf.fields)
  if (purposes === undefined || purposes.some((each) => serverPurposes.includes(each))) return
  const remedy = 'issue one with the extended key usage serverAuth'
  throw new TlsFileError(path, `${leaf.label} is not for servers`, remedy)
}

function openKey({
  path,
  content,
  passphrase,
}: FileContent & { readonly passphrase: string | undefined }): KeyObject {
  const blocks = pemBlocks(path, content.toString('latin1'))
  const [block, surplus] = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'))
  if (block === undefined) {
    throw new TlsFileError(path, 'it holds no private key', 'put a PEM private key into it')
  }
  if (surplus !== undefined) {
    throw new TlsFileError(path, 'it holds several private keys', 'leave the one that is meant')
  }
  const isEncrypted = block.label.startsWith('ENCRYPTED') || /^Proc-Type:.*ENC/m.test(block.text)
  if (isEncrypted && passphrase === undefined) {
    const remedy = 'set server.tls.private_key_passphrase'
    throw new TlsFileError(path, 'the private key is encrypted', remedy)
  }
  try {
    return createPrivateKey({
      key: block.text,
      ...(passphrase === undefined ? {} : { passphrase }),
    })
  } catch {
    // OpenSSL's words are not shown: they may quote what they failed at.
    if (!isEncrypted) {
      throw new TlsFileError(path, 'the private key cannot be parsed', 'write the file again')
    }
    const remedy = 'correct server.tls.private_key_passphrase'
    throw new TlsFileError(path, 'the passphrase does not open the private key', remedy)
  }
}

function namesOf({ fields }: BundleCertificate): readonly string[] {
  const { dns, ip } = readAltNames(fields)
  return [...dns, ...ip.map(addressText)]
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = bytes.toString('hex').match(/.{4}/g) ?? []
  // The URL parser shortens as RFC 5952 asks.
  return bytes.length === 16 ? new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1) : ''
}
