// Goal: check-config and the server refuse rules for pushes that cannot be used, each with its file and line.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problem.ts'
import { requireRules } from '../../src/runtime/rules.ts'
import { runCommand } from '../support/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-check-rules-'))
after(() => rmSync(folder, { recursive: true }))
const base = file('base.toml', '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n')

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

async function check(
  ...files: readonly string[]
): Promise<{ readonly code: number; readonly err: readonly string[] }> {
  const args = files.flatMap((each) => ['-c', each])
  const { code, err } = await runCommand([...args, 'check-config'], folder)
  return { code, err: withoutFolder(err) }
}

function withoutFolder(text: string): readonly string[] {
  return text.replaceAll(`${folder}/`, '').trimEnd().split('\n')
}

const wrong = file(
  'wrong.toml',
  `[global]
immutable_tags_exclusions = [
  "latest",
  "(",
]
[global.validation]
repository_pattern = "(?=a)"
media_types = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.layer.v1.tar",
]
artifact_types = ["text"]
layer_media_types = ["a/b", "a/b; c=d"]
[repository."team/app"]
immutable_tags_exclusions = ["*"]
[repository."team/app".validation]
tag_pattern = "v(a{40}){25}"
media_types = ["application/vnd.docker.distribution.manifest.v1+json"]
`,
)

const expected = [
  /^wrong\.toml:4: global\.immutable_tags_exclusions: "\(": error parsing regexp/,
  /^wrong\.toml:7: global\.validation\.repository_pattern: "\(\?=a\)": error parsing regexp/,
  /^wrong\.toml:10: global\.validation\.media_types: expected a media type of manifests; found ".*tar"$/,
  /^wrong\.toml:12: global\.validation\.artifact_types: expected a media type; found "text"$/,
  /^wrong\.toml:13: global\.validation\.layer_media_types: expected a media type; found "a\/b; c=d"$/,
  /^wrong\.toml:15: repository\."team\/app"\.immutable_tags_exclusions: "\*": error parsing/,
  /^wrong\.toml:17: repository\."team\/app"\.validation\.tag_pattern: .* instructions, more than/,
  /^wrong\.toml:18: repository\."team\/app"\.validation\.media_types: .*manifest\.v1\+json"$/,
] as const

function assertAll(lines: readonly string[]): void {
  assert.equal(lines.length, expected.length, lines.join('\n'))
  for (const [index, pattern] of expected.entries()) assert.match(lines[index] ?? '', pattern)
}

test('check-config tells all of them at once', async () => {
  const { code, err } = await check(base, wrong)
  assert.equal(code, 1)
  assertAll(err.slice(0, -1))
  assert.equal(err.at(-1), 'keelson: the configuration has 8 problems')
})

test('the server does not start with them', () => {
  const files = [base, wrong]
  assert.throws(
    () => requireRules(loadConfig(files), files),
    (error) => {
      assert.ok(error instanceof ConfigError)
      assertAll(withoutFolder(error.message))
      return true
    },
  )
})

test('rules that can be used are no problem', async () => {
  const good = file(
    'good.toml',
    `[global.access_policy]
default = "deny"
[global.validation]
tag_pattern = "v[0-9]+"
media_types = ["application/vnd.oci.image.manifest.v1+json"]
artifact_types = ["application/vnd.oci.image.config.v1+json"]
required_annotations = ["org.opencontainers.image.source"]
[repository."team/app".validation]
repository_pattern = "team/app(/[a-z]+)?"
`,
  )
  assert.deepEqual(await check(base, good), {
    code: 0,
    err: [
      'warning: the access policy denies everything',
      'warning: a memory store is for tests: its content is lost at exit',
      'OK: base.toml, good.toml',
    ],
  })
})

test('a directory that must not be asked so, or cannot be, is told with its line', async () => {
  const bad = file(
    'ldap.toml',
    `[auth.ldap.clear]
url = "ldap://ldap.example.com"
user_base = "dc=x"
[auth.ldap.nowhere]
url = "ldaps://x"
[auth.ldap.everybody]
url = "ldaps://x"
user_base = "dc=x"
user_filter = "(uid=root)"
`,
  )
  const { code, err } = await check(base, bad)
  assert.equal(code, 1)
  assert.match(err[0] ?? '', /^ldap\.toml:2: auth\.ldap\.clear\.url: expected ldaps:/)
  assert.match(err[1] ?? '', /^ldap\.toml:4: auth\.ldap\.nowhere\.user_base: expected either/)
  assert.match(err[2] ?? '', /^ldap\.toml:9: auth\.ldap\.everybody\.user_filter: expected \{user/)
  const files = [base, bad]
  assert.throws(() => requireRules(loadConfig(files), files), ConfigError)
})
