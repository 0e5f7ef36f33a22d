// Goal: the style that a machine can see holds everywhere. Method: rules over the text of every
// source; each rule must also find the faults planted for it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { covers, layers } from './tidy/layers.ts'
import {
  filesAreShort,
  filesSayWhatFor,
  importsFollowLayers,
  mainAloneExits,
  namesAreTelling,
  noCycles,
  nothingIsUnfinished,
  packagesHaveOneUser,
  parsersAloneMakeBrands,
  type Rule,
} from './tidy/rules.ts'
import { readSources, type SourceFile } from './tidy/source-file.ts'

const sources = readSources(['src', 'workers', 'bench', 'test', 'scripts'])

interface Case {
  readonly name: string
  readonly rule: Rule
  /** Sources by path: each set must give exactly one finding. */
  readonly faults: readonly Readonly<Record<string, string>>[]
}

const cases: readonly Case[] = [
  {
    name: 'imports follow the layer table',
    rule: importsFollowLayers,
    faults: [
      { 'src/oci/a.ts': "import { b } from '../storage/error.ts'" },
      { 'src/route/a.ts': "import type { B } from '../operation/b.ts'" },
      { 'src/authorize/a.ts': "import { b } from '../authenticate/b.ts'" },
      { 'src/operation/a.ts': "import { b } from '../storage/blob/fs/store.ts'" },
      { 'src/operation/a.ts': "import type { B } from '../server/pipeline.ts'" },
      { 'src/server/a.ts': "export {\n  b,\n} from '../storage/error.ts'" },
      { 'src/offload/a.ts': "import { b } from '../../workers/tasks.ts'" },
      { 'workers/a.ts': "const b = await import('../src/config/load.ts')" },
      { 'src/storage/blob/fs/a.ts': "import type { B } from '../memory/store.ts'" },
      { 'src/storage/error.ts': "import { B } from './blob/fs/store.ts'" },
      { 'src/runtime/start.ts': "import '../cli/index.ts'" },
      { 'src/novel/a.ts': '' },
    ],
  },
  {
    name: 'a package with an owner has no other user',
    rule: packagesHaveOneUser,
    faults: [
      { 'src/server/transport/node/a.ts': "import uws from 'uWebSockets.js'" },
      { 'src/operation/a.ts': "import type { Piscina } from 'piscina'" },
      { 'src/cli/a.ts': "const uws = createRequire(import.meta.url)('uWebSockets.js')" },
    ],
  },
  {
    name: 'no file imports itself by way of others',
    rule: noCycles,
    faults: [
      {
        'src/oci/a.ts': "import { b } from './b.ts'",
        'src/oci/b.ts': "import type { C } from './c.ts'",
        'src/oci/c.ts': "export { a } from './a.ts'",
      },
      { 'bench/a.ts': "import { a } from './a.ts'" },
    ],
  },
  {
    name: 'no file is too long',
    rule: filesAreShort,
    faults: [{ 'test/a.ts': 'a\n'.repeat(401) }],
  },
  {
    name: 'every file says at its top what it answers for',
    rule: filesSayWhatFor,
    faults: [{ 'src/a.ts': "import 'a'" }, { 'src/a.ts': '\n// Later.\n' }],
  },
  {
    name: 'no name is a grab-bag',
    rule: namesAreTelling,
    faults: [
      { 'src/util/a.ts': '' },
      { 'src/oci/digest-helpers.ts': '' },
      { 'bench/common.ts': '' },
    ],
  },
  {
    name: 'nothing is marked as unfinished',
    rule: nothingIsUnfinished,
    faults: [{ 'src/oci/a.ts': `// ${'TO'}${'DO'}: more` }],
  },
  {
    name: 'main.ts alone ends the process',
    rule: mainAloneExits,
    faults: [{ 'src/cli/a.ts': 'process.exit(1)' }, { 'workers/a.ts': 'process.abort()' }],
  },
  {
    name: 'no cast makes a validated string outside src/oci',
    rule: parsersAloneMakeBrands,
    faults: [
      { 'src/route/a.ts': "const a = 'x' as Digest" },
      { 'src/route/a.ts': 'const a = b as unknown as RepositoryName' },
    ],
  },
]

for (const { name, rule, faults } of cases) {
  test(name, () => {
    assert.deepEqual(rule(sources), [])
  })

  test(`the rule "${name}" finds what is planted`, () => {
    for (const fault of faults) {
      const planted: SourceFile[] = Object.entries(fault).map(([path, text]) => ({ path, text }))
      assert.equal(rule(planted).length, 1, JSON.stringify(fault))
    }
  })
}

describe('the layer table', () => {
  test('every room of it exists', () => {
    for (const { room } of layers) {
      assert.ok(
        sources.some(({ path }) => covers(room, path)),
        room,
      )
    }
  })
})

describe('the lock file', () => {
  const lock: unknown = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  const { packages } = lock as { packages: Readonly<Record<string, LockedPackage>> }

  test('it names no host', () => {
    for (const [path, { resolved }] of Object.entries(packages)) {
      assert.equal(resolved, undefined, path)
    }
  })

  test('it has every optional package, without which npm ci refuses it', () => {
    for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
      for (const name of Object.keys(optionalDependencies)) {
        assert.ok(`node_modules/${name}` in packages, `${name}, of ${path}`)
      }
    }
  })
})

interface LockedPackage {
  readonly resolved?: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}
