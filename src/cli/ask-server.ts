// Asks the server that runs with a command's configuration, and reports why it did not answer.
import type { Config } from '../config/schema.ts'
import { type AdminAnswer, askAdmin, NoServerError } from './admin-client.ts'
import type { Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'

/** What answers where no server runs. Errors: Error whose message tells the operator what to do. */
export type WithoutServer = (
  config: Config,
  path: string,
  input: object | undefined,
) => Promise<AdminAnswer>

/** The body of a 200, or undefined after the terminal was told why there is none. */
export async function askServer(
  invocation: Invocation,
  path: string,
  input?: object,
  withoutServer?: WithoutServer,
): Promise<object | undefined> {
  const config = loadOrReport(configFiles(invocation), invocation)
  if (config === undefined) return undefined
  let answer: AdminAnswer
  try {
    answer = await askEither(config, path, input, withoutServer)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    return report(invocation, error.message)
  }
  const { status, body } = answer
  const { error, ...rest }: { readonly error?: unknown } = { ...(body as object | undefined) }
  if (status === 200) return rest
  return report(invocation, typeof error === 'string' ? error : `the server answered ${status}`)
}

async function askEither(
  config: Config,
  path: string,
  input: object | undefined,
  withoutServer: WithoutServer | undefined,
): Promise<AdminAnswer> {
  const { socket } = config.admin
  try {
    if (socket !== undefined) return await askAdmin(socket, path, input)
  } catch (error) {
    if (!(error instanceof NoServerError) || withoutServer === undefined) throw error
  }
  if (withoutServer === undefined) throw new Error('admin.socket is not configured')
  return withoutServer(config, path, input)
}

function report({ terminal }: Invocation, message: string): undefined {
  terminal.err(`keelson: ${message}\n`)
}
