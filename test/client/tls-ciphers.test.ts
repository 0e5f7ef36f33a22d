// Goal: no cipher suite without forward secrecy or authenticated encryption can be had. Method: nmap
// tries every suite it knows on each transport, with an RSA key, to which most of the weak ones belong.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Certificate } from '../support/pki.ts'
import { run } from '../support/run.ts'
import { startTlsServer, stopServer, type TlsOptions, usePki } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

interface Suite {
  readonly protocol: string
  readonly name: string
  readonly grade: string
}

/** The script's report, of which each suite is a line like `TLS_… (ecdh_x25519) - A`. */
function parseReport(report: string): readonly Suite[] {
  const suites: Suite[] = []
  let protocol = ''
  for (const line of report.split('\n')) {
    protocol = /^\| {3}(\S+): *$/.exec(line)?.[1] ?? protocol
    const [, name = '', grade = ''] = /^\| {7}(TLS_\S+).* - ([A-F])\b/.exec(line) ?? []
    if (name !== '') suites.push({ protocol, name, grade })
  }
  return suites
}

const isStrong = {
  'TLSv1.2': /^TLS_ECDHE_(RSA|ECDSA)_WITH_(AES_(128|256)_GCM|CHACHA20_POLY1305)_SHA(256|384)$/,
  'TLSv1.3': /^TLS_A(KE_WITH_A)?ES_(128|256)_GCM_SHA(256|384)$|^TLS_(AKE_WITH_)?CHACHA20_POLY1305_/,
} as const

describe('cipher suites', needs('openssl', 'nmap'), () => {
  const scene = usePki()
  const table: readonly (readonly [string, TlsOptions, 'rsa' | 'p256'])[] = [
    ['uws, RSA', {}, 'rsa'],
    ['uws, ECDSA', {}, 'p256'],
    ['node, RSA', { clientAuth: 'optional' }, 'rsa'],
    ['node, ECDSA', { clientAuth: 'optional' }, 'p256'],
  ]
  for (const [name, options, key] of table) {
    test(`only strong ones are served (${name})`, async () => {
      const certificate: Certificate = await scene.pki.serverCa.serverCertificate({ key })
      const tls = {
        server_certificate_bundle: certificate.bundleFile,
        server_private_key: certificate.keyFile,
      }
      const { server, port } = await startTlsServer(scene.pki, { ...options, tls })
      const report = await run('nmap', [
        ...['-n', '-Pn', '-p', String(port), '--script', 'ssl-enum-ciphers', '127.0.0.1'],
      ])
      const suites = parseReport(report)
      const protocols = new Set(suites.map(({ protocol }) => protocol))
      assert.deepEqual([...protocols].sort(), ['TLSv1.2', 'TLSv1.3'], report)
      for (const { protocol, name: suite, grade } of suites) {
        assert.match(suite, isStrong[protocol as keyof typeof isStrong], report)
        assert.equal(grade, 'A', `${suite}\n${report}`)
      }
      assert.match(report, /least strength: A$/m)
      await stopServer(server)
    })
  }
})
