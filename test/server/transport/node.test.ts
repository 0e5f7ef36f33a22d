// The adapter on node:http: the contract of every transport, and what only this one promises.

import { listenNode } from '../../../src/server/transport/node/listen.ts'
import { transportContract } from '../../contract/transport.ts'

transportContract('node', listenNode)
