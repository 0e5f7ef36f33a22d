// Goal: no block of a page is left untested by accident. Method: each one is loaded (toml), run by a scene
// of scenes.ts, run by a test that run-elsewhere.ts names, or says why it is not run.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, test } from 'node:test'
import { projectRoot } from '../support/server.ts'
import { type Block, blocksIn, pages, readBlocks } from './page-blocks.ts'
import { shells } from './page-script.ts'
import { runElsewhere } from './run-elsewhere.ts'
import { scenes } from './scenes.ts'

// What a program prints; and TOML, which toml.test.ts loads.
const neverRun = ['text', 'json', 'toml']

/** What is wrong with a block; undefined where a test looks at it, or it says why none does. */
function problemOf({ page, line, language, mark }: Block): string | undefined {
  const at = `${page}:${line}`
  if (language === '') return `${at}: a block without a language; "text" where it is none`
  if (mark.kind === 'not-run' || neverRun.includes(language)) return undefined
  if (shells.includes(language) && scenes[page] !== undefined) return undefined
  if (mark.kind === 'file' && scenes[page] !== undefined) return undefined
  if (runElsewhere[page]?.[language] !== undefined) return undefined
  return `${at}: this ${language} is neither run nor marked <!-- not run: WHY -->`
}

describe('the blocks of the pages', () => {
  for (const page of pages()) {
    test(`of ${page} are run, or say why they are not`, () => {
      const problems = readBlocks(page).flatMap((block) => problemOf(block) ?? [])
      assert.deepEqual(problems, [])
    })
  }

  test('are told when they are neither run nor marked', () => {
    const text =
      '```sh\nrm -r /\n```\n\n<!-- not run: it hurts -->\n```sh\nrm -r /\n```\n```\n?\n```\n'
    assert.deepEqual(
      blocksIn('a.md', text).map((block) => problemOf(block)?.replace(/ is neither.*/, '')),
      ['a.md:1: this sh', undefined, 'a.md:9: a block without a language; "text" where it is none'],
    )
    assert.throws(() => blocksIn('a.md', '<!-- notrun: x -->\n```sh\n```\n'), /what does "notrun/)
    assert.throws(() => blocksIn('a.md', '```sh\nls\n'), /not closed/)
  })
})

describe('a test that runs blocks of a page', () => {
  for (const [page, byLanguage] of Object.entries(runElsewhere)) {
    for (const [language, file] of Object.entries(byLanguage)) {
      test(`is there for the ${language} of ${page}, and reads it`, () => {
        assert.ok(readBlocks(page).some((block) => block.language === language))
        assert.ok(readFileSync(join(projectRoot, file), 'utf8').includes(basename(page)))
      })
    }
  }

  test('is named for no page that is gone', () => {
    const known = pages()
    for (const page of Object.keys(scenes)) assert.ok(known.includes(page), page)
  })
})
