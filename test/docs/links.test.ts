// Goal: a link leads somewhere, and the front page leads everywhere. Method: follow each relative link of the
// pages, and each page that the program names, to its file and heading.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, test } from 'node:test'
import { projectRoot } from '../support/server.ts'
import { pages } from './page-blocks.ts'

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8')

/** A page without its blocks, in which nothing is a link or a heading. */
function prose(page: string): string {
  return read(page).replaceAll(/^( *)```[\s\S]*?^\1```$/gm, '')
}

/** As GitHub makes them: lower case, no punctuation, a dash for a space. */
function anchorsOf(page: string): readonly string[] {
  return [...prose(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** What is wrong with a link from a page; undefined where it leads to a file, and to a heading of it. */
function problemOf(from: string, link: string): string | undefined {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? from : normalize(join(dirname(from), path))
  if (!existsSync(join(projectRoot, target))) return `${from}: ${link} is not there`
  if (anchor === undefined || anchorsOf(target).includes(anchor)) return undefined
  return `${from}: ${link} is no heading there`
}

describe('the links', () => {
  for (const page of [...pages(), 'ARCHITECTURE.md', 'SECURITY.md']) {
    test(`of ${page} lead somewhere`, () => {
      const links = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
      const relative = links.filter((link) => !/^[a-z]+:/.test(link))
      assert.deepEqual(
        relative.flatMap((link) => problemOf(page, link) ?? []),
        [],
      )
    })
  }

  test('in what the program prints lead somewhere', () => {
    const sources = readdirSync(join(projectRoot, 'src'), { recursive: true, encoding: 'utf8' })
    const links = sources
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [
        ...read(join('src', name)).matchAll(/'((?:docs\/[\w-]+|tuning)\.md(?:#[\w-]+)?)'/g),
      ])
      .map(([, link = '']) => link)
    assert.deepEqual(
      [...new Set(links)].flatMap((link) => problemOf('README.md', link) ?? []),
      [],
    )
  })

  test('of the front page lead to every page', () => {
    const front = read('README.md')
    for (const page of pages()) {
      if (page !== 'README.md') assert.ok(front.includes(`](${page})`), `README.md: ${page}`)
    }
  })

  test('that are wrong are told', () => {
    assert.equal(problemOf('README.md', 'tuning.md#kernel'), undefined)
    assert.match(problemOf('README.md', 'tuning.md#colonel') ?? '', /is no heading/)
    assert.match(problemOf('docs/tls.md', 'tuning.md') ?? '', /is not there/)
  })
})
