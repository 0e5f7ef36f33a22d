// The contract of a transport, driven over bare sockets so that every byte of the framing is ours.
// Each adapter's test calls it once, and says what the adapter promises beyond the others.

import { describe } from 'node:test'
import type { Transport } from '../../src/server/transport/exchange.ts'
import { needsOpenssl } from '../support/pki.ts'
import { abortsContract, lateAbortsContract } from './transport-aborts.ts'
import { admissionContract } from './transport-admission.ts'
import { bodiesContract } from './transport-bodies.ts'
import { framingContract } from './transport-framing.ts'
import { headersContract } from './transport-headers.ts'
import { lifecycleContract } from './transport-lifecycle.ts'
import { type Materials, useMaterials } from './transport-material.ts'
import { handshakePaceContract, paceContract } from './transport-pace.ts'
import { progressContract } from './transport-progress.ts'
import { proxiedContract, proxiedTlsContract } from './transport-proxied.ts'
import { repliesContract } from './transport-replies.ts'
import type { Capabilities, Way } from './transport-scene.ts'
import { socketsContract } from './transport-sockets.ts'
import { streamsContract } from './transport-streams.ts'
import { tlsContract } from './transport-tls.ts'

// What waits for timers, or for a parser to lose its patience, waits together.
const together = { concurrency: true } as const

/** Run every case on one adapter, plain and over TLS. Source: src/server/transport/exchange.ts. */
export function transportContract(name: string, transport: Transport, can: Capabilities): void {
  const plain: Way = { transport, can }
  const secured = (materials: Materials): Way => ({
    ...plain,
    options: () => ({ tls: materials.server }),
  })
  requestsContract(name, plain)
  describe(`${name}: addresses`, () => socketsContract(plain))
  describe(`${name}: TLS`, needsOpenssl, () => {
    const materials = useMaterials()
    tlsContract(plain, materials)
    requestsContract('over TLS', secured(materials))
  })
  describe(`${name}: what takes time`, together, () => {
    waitingContract(name, plain)
    describe(`${name}: PROXY protocol`, together, () => proxiedContract(plain))
    describe(`${name}: over TLS`, { ...needsOpenssl, ...together }, () => {
      const materials = useMaterials()
      waitingContract('over TLS', secured(materials))
      handshakePaceContract(secured(materials))
      proxiedTlsContract(plain, materials)
    })
  })
}

function requestsContract(name: string, way: Way): void {
  describe(`${name}: requests and replies`, () => repliesContract(way))
  describe(`${name}: header lines`, () => headersContract(way))
  describe(`${name}: request bodies`, () => bodiesContract(way))
  describe(`${name}: bodies cut short`, () => abortsContract(way))
  describe(`${name}: streamed replies`, () => streamsContract(way))
  describe(`${name}: admission`, () => admissionContract(way))
  describe(`${name}: life of a listener`, () => lifecycleContract(way))
}

function waitingContract(name: string, way: Way): void {
  describe(`${name}: framing`, together, () => framingContract(way))
  describe(`${name}: pace`, together, () => paceContract(way))
  describe(`${name}: progress`, together, () => progressContract(way))
  describe(`${name}: late aborts`, together, () => lateAbortsContract(way))
}
