// Answers for fresh key pairs in tests. Made as text and read again: to export the very object that was
// made can wait for itself for ever, where the collector frees the job that made it meanwhile (Node 20.20).
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'

export type KeyKind = 'P-256' | 'P-384' | 'RSA-2048'

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** PKCS #8, PEM. */
  readonly pem: string
}

export function freshKeyPair(kind: KeyKind): KeyPair {
  const pem = kind === 'RSA-2048' ? rsaPem() : curvePem(kind)
  return { privateKey: createPrivateKey(pem), publicKey: createPublicKey(pem), pem }
}

function rsaPem(): string {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey
}

function curvePem(namedCurve: string): string {
  return generateKeyPairSync('ec', {
    namedCurve,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey
}
