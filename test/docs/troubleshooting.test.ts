// Goal: docs/troubleshooting.md shows messages as they are printed, metrics that exist, and commands that the
// program has. Method: look for each in the sources; where it is the system's, make the program say it.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { commands } from '../../src/cli/index.ts'
import { createPki } from '../support/pki.ts'
import { attempt } from '../support/run.ts'
import { productCommand, projectRoot, type Server, startServer } from '../support/server.ts'
import { needs, needsRootAnd } from '../support/tools.ts'

const page = readFileSync(join(projectRoot, 'docs/troubleshooting.md'), 'utf8')
const sources = readdirSync(join(projectRoot, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(projectRoot, 'src', name), 'utf8'))
  // A long message is put together over lines.
  .join('\n')
  .replaceAll(/'\s*\+\s*'/g, '')

interface Row {
  readonly symptom: string
  readonly messages: readonly string[]
  readonly isOurs: boolean
}

/** The rows of the tables that have a column of messages. */
const rows: readonly Row[] = page.split(/^(?=## )/m).flatMap((section) => {
  if (!section.includes('| message |')) return []
  const lines = section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| -|^\|---/.test(line))
  return lines.slice(1).map((line) => {
    const [, symptom = '', message = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
    const messages = [...message.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
    return { symptom, messages, isOurs: !/^the (client|kernel)'s own/.test(message) }
  })
})

/** What a message says in every case. */
function fixedParts(message: string): readonly string[] {
  return message.split('…').filter((part) => /\w{3}/.test(part))
}

function isInSources(message: string): boolean {
  return fixedParts(message).every((part) => sources.includes(part.trim()))
}

function pattern(message: string): RegExp {
  const parts = message.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(parts.join('[^\\n]*?'))
}

test('each row has a symptom, a message, a way to make sure and a remedy', () => {
  assert.ok(rows.length > 40)
  for (const line of page.split('\n').filter((each) => each.startsWith('| '))) {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1)
    assert.ok(cells.every((cell) => cell.trim() !== '') && [2, 4].includes(cells.length), line)
  }
  for (const { symptom, messages } of rows) assert.ok(messages.length > 0, symptom)
})

test('each metric of the page is one that is exported', () => {
  for (const [, name = ''] of page.matchAll(/`keelson_(\w+)`/g)) {
    const isThere = new RegExp(`keelson_${name}\\b|\\b${name}\\b`).test(sources)
    assert.ok(isThere, `keelson_${name}`)
  }
})

test('each command of the page is one of the program', () => {
  const known = commands.map(({ name }) => name)
  for (const [code] of page.matchAll(/`keelson [^`]*`/g)) {
    const words = code
      .replaceAll('`', '')
      .replace(/^keelson (-c \S+ )?/, '')
      .split(' ')
    const isThere = known.some((name) => name === words[0] || name === words.slice(0, 2).join(' '))
    assert.ok(isThere, code)
  }
})

/** Starts or asks the program and answers all that it says. */
type Trouble = (folder: string) => Promise<string>

async function say(args: readonly string[], wrap: readonly string[] = []): Promise<string> {
  const [command = '', ...rest] = [...wrap, ...productCommand(), ...args]
  const { stdout, stderr } = await attempt(command, rest)
  // A log line has its message as JSON.
  return `${stdout}${stderr}`.replaceAll('\\"', '"')
}

function write(folder: string, toml: string, root = folder): string {
  const file = join(folder, 'config.toml')
  writeFileSync(file, `${toml}\n[blob_store.fs]\nroot_dir = "${root}/store"\n`)
  return file
}

describe('what the program says', () => {
  const dir = mkdtempSync(join(tmpdir(), 'keel-'))
  let server: Server
  before(async () => {
    server = await startServer()
  })
  after(async () => {
    await server?.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })

  const troubles: Readonly<Record<string, Trouble>> = {
    'A mistake in the file': (folder) =>
      say(['-c', write(folder, '[server]\nprot = 1'), 'check-config']),
    'A secret is not there': (folder) =>
      say([
        '-c',
        write(folder, '[auth.identity.a]\nusername = "a"\npassword = { credential = "a" }'),
        'check-config',
      ]),
    'Another program has the port': (folder) =>
      say(['-c', write(folder, `[server]\nport = ${server.port}`), 'server']),
    'Two servers, one store': (folder) => {
      const file = join(folder, 'config.toml')
      writeFileSync(file, `[blob_store.fs]\nroot_dir = "${server.rootDir}"\n[server]\nport = 0\n`)
      return say(['-c', file, 'server'])
    },
  }

  for (const [symptom, trouble] of Object.entries(troubles)) {
    test(`is on the page: ${symptom}`, async () => {
      const folder = mkdtempSync(join(dir, 't-'))
      assertShown(symptom, await trouble(folder))
    })
  }

  test('is on the page: a key that does not fit', needs('openssl'), async () => {
    const { serverCa } = await createPki(join(dir, 'pki'))
    const one = await serverCa.serverCertificate()
    const other = await serverCa.serverCertificate()
    const folder = mkdtempSync(join(dir, 't-'))
    const toml = `[server.tls]\nserver_certificate_bundle = "${one.bundleFile}"\nserver_private_key = "${other.keyFile}"`
    const said = await say(['-c', write(folder, toml), 'check-config'])
    assertShown('The certificate and the key are of two renewals', said)
  })

  test('is on the page: folders and files of another user', needsRootAnd('setpriv'), async () => {
    const folder = mkdtempSync(join('/tmp', 'keel-'))
    after(() => rmSync(folder, { recursive: true, force: true }))
    await attempt('chmod', ['755', folder])
    mkdirSync(join(folder, 'store'))
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
    const said = await say(['-c', write(folder, '[server]\nport = 0'), 'server'], asNobody)
    assertShown('The store’s folder belongs to somebody else', said)
    writeFileSync(join(folder, 'hash'), 'x', { mode: 0o600 })
    const user = '[auth.identity.a]\nusername = "a"\npassword = { file = "hash" }'
    const refused = await say(['-c', write(folder, user), 'check-config'], asNobody)
    assertShown('A secret cannot be read', refused)
  })
})

const made = new Set<string>()

/** The output has the messages of the row. */
function assertShown(symptom: string, said: string): void {
  const row = rows.find((each) => each.symptom.replaceAll("'", '’') === symptom)
  assert.ok(row, `the page has no row "${symptom}"`)
  made.add(row.symptom)
  for (const message of row.messages) assert.match(said, pattern(message))
}

test('each message of the page is the program’s, or a client’s, or was just said', () => {
  const unknown = rows
    .filter(({ isOurs, symptom }) => isOurs && !made.has(symptom))
    .flatMap(({ messages }) => messages.filter((message) => !isInSources(message)))
  const said = rows.flatMap(({ symptom, messages }) => (made.has(symptom) ? messages : []))
  assert.deepEqual(
    unknown.filter((message) => !said.includes(message)),
    [],
  )
})
