// Answers for tests of both transports, where one of them may not load.
import { uwsProblem } from '../../src/server/transport/uws/listen.ts'
import { needsThat } from './tools.ts'

/** `skip` where the transport cannot be had here; with KEELSON_TEST_REQUIRE=all that is a failure. */
export function needsTransport(name: 'uws' | 'node'): { readonly skip: string | false } {
  return needsThat(name === 'node' || uwsProblem === undefined ? [] : [uwsProblem])
}
