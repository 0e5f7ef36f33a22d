// Transport contract: TLS that the listener terminates: who is served, what is counted, and how the
// certificate is changed under way.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import type { TlsMaterial } from '../../src/server/tls/contract.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { PatternSource, patternBytes } from '../support/pattern-source.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { loadMaterial, type Materials } from './transport-material.ts'
import {
  plainHeaders,
  requestHead,
  type SceneHandler,
  type TransportScene,
  type Way,
  whole,
  withTransport,
} from './transport-scene.ts'

export function tlsContract(way: Way, materials: Materials): void {
  describeHandshakes(way, materials)
  describeResumption(way, materials)
  describeRenewal(way, materials)
  describeClientCertificates(way, materials)
}

const tellsSecure = (exchange: Exchange): void => exchange.send(whole(String(exchange.isSecure)))

function tlsOf(client: RawConnection): TLSSocket {
  return client.socket as TLSSocket
}

async function served(client: RawConnection): Promise<void> {
  client.write(requestHead('GET', '/'))
  assert.equal((await client.reply()).body.toString(), 'true')
}

function describeHandshakes(way: Way, materials: Materials): void {
  const over = (): { readonly tls: TlsMaterial } => ({ tls: materials.server })

  test('a client that trusts the authority is served, and the exchange is secure', async () => {
    const run = async ({ open, options }: TransportScene): Promise<void> => {
      const trust = { ca: materials.pki.serverCa.pem, rejectUnauthorized: true }
      for (const host of ['localhost', 'registry.test']) {
        const client = await open({ tls: { ...trust, servername: host } })
        assert.equal(tlsOf(client).authorized, true)
        assert.equal(tlsOf(client).alpnProtocol, false)
        await served(client)
      }
      const stranger = open({ tls: { ...trust, servername: 'other.test' } })
      await assert.rejects(stranger, { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
      if (way.can.countsHandshakes) assert.equal(options.counts.handshakesResumed, 0)
    }
    await withTransport(way, tellsSecure, run, over())
  })

  test('a request without TLS is not secure', async () => {
    await withTransport(way, tellsSecure, async ({ open }) => {
      const client = await open()
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), 'false')
    })
  })

  test('TLS 1.2 and 1.3 are served, older ones and weak ciphers are not', async () => {
    const run = async ({ open, options, handled }: TransportScene): Promise<void> => {
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const client = await open({ tls: { minVersion: version, maxVersion: version } })
        assert.equal(tlsOf(client).getProtocol(), version)
        await served(client)
      }
      const before = handled.length
      const weak: ConnectionOptions[] = [
        { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' },
        { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
        { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:@SECLEVEL=0' },
        { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0' },
        { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' },
      ]
      for (const tls of weak) await assert.rejects(open({ tls }), JSON.stringify(tls))
      assert.equal(handled.length, before)
      if (!way.can.countsHandshakes) return
      await until('failures are counted', () => options.counts.handshakesFailed === weak.length)
      assert.equal(options.counts.handshakesFull, 2)
    }
    await withTransport(way, tellsSecure, run, over())
  })

  test('a listener for TLS 1.3 alone refuses 1.2, or does not start', async () => {
    const tls: TlsMaterial = { ...materials.server, minVersion: 'TLSv1.3' }
    const run = async ({ open }: TransportScene): Promise<void> => {
      await served(await open({ tls: { minVersion: 'TLSv1.3' } }))
      await assert.rejects(open({ tls: { maxVersion: 'TLSv1.2' } }))
    }
    const listening = withTransport(way, tellsSecure, run, { tls })
    if (way.can.readsCertificates) await listening
    else await assert.rejects(listening, /1\.[23]/)
  })

  test('what is no TLS is closed, and others are served on', async () => {
    const run = async ({ open, options, handled }: TransportScene): Promise<void> => {
      for (const preamble of ['GET / HTTP/1.1\r\nHost: test\r\n\r\n', '\u0016\u0003\u0001', '\0']) {
        const client = await open({ tls: undefined })
        client.write(preamble)
        if (preamble.length < 5) client.socket.end()
        await client.over()
      }
      assert.deepEqual(handled, [])
      await served(await open())
      await until('they are gone', () => options.counts.connections === 1)
    }
    await withTransport(way, tellsSecure, run, over())
  })

  test('clients that leave within the handshake leave no trace', async () => {
    const run = async ({ open, options }: TransportScene): Promise<void> => {
      const clients = await Promise.all(Array.from({ length: 20 }, () => open({ tls: undefined })))
      await until('all are here', () => options.counts.connections === 20)
      for (const client of clients) client.write('\u0016\u0003\u0001\u0000\u00f0\u0001')
      for (const [at, client] of clients.entries()) {
        if (at % 2 === 0) client.reset()
        else client.close()
      }
      await until('none is here', () => options.counts.connections === 0)
      assert.equal(options.admission.connections, 0)
      await served(await open())
    }
    await withTransport(way, tellsSecure, run, over())
  })
}

function describeResumption(way: Way, materials: Materials): void {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`a session of ${version} is resumed, and still secure`, async () => {
      const tls = { minVersion: version, maxVersion: version }
      const run = async ({ open, options }: TransportScene): Promise<void> => {
        const first = await open({ tls })
        const session = nextSession(first)
        await served(first)
        const again = await open({ tls: { ...tls, session: await session } })
        assert.equal(tlsOf(again).isSessionReused(), true)
        await served(again)
        if (!way.can.countsHandshakes) return
        const { handshakesFull, handshakesResumed } = options.counts
        assert.deepEqual([handshakesFull, handshakesResumed], [1, 1])
      }
      await withTransport(way, tellsSecure, run, { tls: materials.server })
    })
  }
}

/** What the client needs in order to resume. */
async function nextSession(client: RawConnection): Promise<Buffer> {
  const socket = tlsOf(client)
  if (socket.getProtocol() === 'TLSv1.2') {
    const session = socket.getSession()
    if (session !== undefined) return session
  }
  let session: Buffer | undefined
  socket.once('session', (given) => {
    session = given
  })
  await until('a ticket', () => session !== undefined)
  return session as unknown as Buffer
}

function describeRenewal(way: Way, materials: Materials): void {
  const fingerprintOf = (client: RawConnection): string =>
    tlsOf(client).getPeerCertificate().fingerprint256

  test('new handshakes see the new certificate; what is under way goes on', async () => {
    const source = new PatternSource(32 * 1024 * 1024)
    const waiting: Exchange[] = []
    const handler: SceneHandler = (exchange) => {
      if (exchange.path === '/stream') {
        exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
      } else if (exchange.path === '/wait') {
        exchange.detach()
        waiting.push(exchange)
      } else tellsSecure(exchange)
    }
    const run = async ({ open, listener, port }: TransportScene): Promise<void> => {
      const [streamer, waiter, idle] = [await open(), await open(), await open()]
      await served(idle)
      streamer.write(requestHead('GET', '/stream'))
      waiter.write(requestHead('GET', '/wait'))
      await until('some of the stream', () => streamer.pendingBytes > 100_000)
      streamer.socket.pause()
      await until('both under way', () => waiting.length === 1)
      for (let round = 0; round < 3; round++) await listener.renewTls(await materials.other())
      assert.equal(listener.inFlight(), 2)
      assert.equal(listener.local.port, port)
      const next = await open()
      assert.notEqual(fingerprintOf(next), fingerprintOf(streamer))
      await served(next)
      streamer.socket.resume()
      waiting[0]?.send(whole('late'))
      assert.equal((await waiter.reply()).body.toString(), 'late')
      assert.ok((await streamer.reply()).body.equals(patternBytes(source.length)))
      await served(idle)
      assert.equal(listener.inFlight(), 0)
    }
    await withTransport(way, handler, run, { tls: materials.server })
  })

  test('close and stopAccepting reach what came before a renewal, too', async () => {
    const handler: SceneHandler = (exchange) => {
      if (exchange.path === '/') tellsSecure(exchange)
      else exchange.detach()
    }
    const run = async ({ open, listener }: TransportScene): Promise<void> => {
      const before = await open()
      before.write(requestHead('GET', '/wait'))
      await until('it waits', () => listener.inFlight() === 1)
      await listener.renewTls(await materials.other())
      const after = await open()
      after.write(requestHead('GET', '/wait'))
      await until('both wait', () => listener.inFlight() === 2)
      listener.stopAccepting()
      await assert.rejects(open())
      assert.equal(listener.inFlight(), 2)
      listener.close()
      await Promise.all([before.over(5_000), after.over(5_000)])
      await until('none in flight', () => listener.inFlight() === 0)
    }
    await withTransport(way, handler, run, { tls: materials.server })
  })

  test('material that cannot be used is rejected, and the old stays', async () => {
    const run = async ({ open, listener }: TransportScene): Promise<void> => {
      const { pki, server } = materials
      const first = fingerprintOf(await open())
      const stranger = await pki.serverCa.serverCertificate()
      const bad: Record<string, TlsMaterial> = {
        'a key of another certificate': { ...server, privateKey: stranger.keyPem },
        'a key that is none': { ...server, privateKey: 'no key' },
        'a certificate that is none': { ...server, certificateBundle: 'no certificate' },
        'an empty bundle': { ...server, certificateBundle: '' },
        'ciphers that nobody knows': { ...server, ciphers: 'NO-SUCH-CIPHER' },
      }
      for (const [what, material] of Object.entries(bad)) {
        await assert.rejects(listener.renewTls(material), what)
        const client = await open()
        assert.equal(fingerprintOf(client), first, what)
        await served(client)
      }
      await listener.renewTls(await materials.other())
      assert.notEqual(fingerprintOf(await open()), first)
    }
    await withTransport(way, tellsSecure, run, { tls: materials.server })
  })

  test('an RSA certificate with its chain replaces an ECDSA one', async () => {
    const run = async ({ open, listener }: TransportScene): Promise<void> => {
      const { serverCa } = materials.pki
      const between = await serverCa.intermediate('Between')
      const certificate = await between.serverCertificate({ key: 'rsa' })
      await listener.renewTls(await loadMaterial(certificate))
      const trust = { ca: serverCa.pem, rejectUnauthorized: true, servername: 'localhost' }
      const client = await open({ tls: trust })
      assert.equal(tlsOf(client).getPeerCertificate().asn1Curve, undefined)
      await served(client)
    }
    await withTransport(way, tellsSecure, run, { tls: materials.server })
  })

  test('a listener without usable material does not start', async () => {
    const tls = { ...materials.server, privateKey: 'no key' }
    await assert.rejects(withTransport(way, tellsSecure, async () => {}, { tls }))
  })
}

function describeClientCertificates(way: Way, materials: Materials): void {
  const asking = (clientAuth: 'optional' | 'required'): Promise<TlsMaterial> => {
    const clientCaBundle = materials.pki.clientCa.certificateFile
    return loadMaterial(materials.pki.server, { clientCaBundle, clientAuth })
  }
  const tells: SceneHandler = (exchange) => {
    const { commonNames = [], organizations = [] } = exchange.certificate ?? {}
    exchange.send(whole([...commonNames, ...organizations].join(' ')))
  }

  test('client certificates are read, or asking for them does not start', async () => {
    const run = async ({ open }: TransportScene): Promise<void> => {
      const { keyPem: key, pem: cert } = materials.pki.client
      const client = await open({ tls: { key, cert } })
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), 'build-server Infrastructure')
      const nobody = await open()
      nobody.write(requestHead('GET', '/'))
      assert.equal((await nobody.reply()).body.toString(), '')
    }
    const listening = withTransport(way, tells, run, { tls: await asking('optional') })
    if (way.can.readsCertificates) await listening
    else await assert.rejects(listening, /certificate/)
  })

  test('a client without the required certificate has no connection', async () => {
    const run = async ({ open, handled }: TransportScene): Promise<void> => {
      // TLS 1.3 lets a client believe for a moment that it is connected.
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const client = await open({ tls: { maxVersion } }).catch(() => undefined)
        client?.write(requestHead('GET', '/'))
        await client?.over()
        assert.equal(client?.pendingBytes ?? 0, 0)
      }
      assert.deepEqual(handled, [])
      const { keyPem: key, pem: cert } = materials.pki.client
      const client = await open({ tls: { key, cert } })
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), 'build-server Infrastructure')
    }
    const listening = withTransport(way, tells, run, { tls: await asking('required') })
    if (way.can.readsCertificates) await listening
    else await assert.rejects(listening, /certificate/)
  })

  test('without asking for one a client certificate is not seen', async () => {
    const run = async ({ open }: TransportScene): Promise<void> => {
      const { keyPem: key, pem: cert } = materials.pki.client
      const client = await open({ tls: { key, cert } })
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), '')
    }
    await withTransport(way, tells, run, { tls: materials.server })
  })
}
