// The adapter on uWebSockets.js: the contract of every transport.

import { describe } from 'node:test'
import { listenUws, uwsProblem } from '../../../src/server/transport/uws/listen.ts'
import { transportContract } from '../../contract/transport.ts'
import { uwsIsFooledBy } from '../../contract/transport-hostile.ts'
import { needsThat } from '../../support/tools.ts'

describe('uws', needsThat(uwsProblem === undefined ? [] : [uwsProblem]), () => {
  transportContract('uws', listenUws, {
    timesSilence: false,
    answersGarbage: false,
    countsHandshakes: false,
    readsCertificates: false,
    readsProxyHeaders: false,
    isFooledBy: uwsIsFooledBy,
  })
})
