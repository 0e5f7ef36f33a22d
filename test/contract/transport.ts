// The contract of a transport, driven over bare sockets so that every byte of the framing is ours.
// Each adapter's test calls it once.

import { describe } from 'node:test'
import type { Transport } from '../../src/server/transport/exchange.ts'
import { abortsContract } from './transport-aborts.ts'
import { bodiesContract } from './transport-bodies.ts'
import { framingContract } from './transport-framing.ts'
import { lifecycleContract } from './transport-lifecycle.ts'
import { repliesContract } from './transport-replies.ts'
import type { Way } from './transport-scene.ts'
import { streamsContract } from './transport-streams.ts'

/** Run every case on one adapter. Source: src/server/transport/exchange.ts. */
export function transportContract(name: string, transport: Transport): void {
  const way: Way = { transport }
  describe(`${name}: requests and replies`, () => repliesContract(way))
  describe(`${name}: request bodies`, () => bodiesContract(way))
  describe(`${name}: bodies cut short`, () => abortsContract(way))
  describe(`${name}: streamed replies`, () => streamsContract(way))
  describe(`${name}: framing`, () => framingContract(way))
  describe(`${name}: life of a listener`, () => lifecycleContract(way))
}
