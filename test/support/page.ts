// Answers for what a page of the documentation tells people to write, and for changing it where a test
// has addresses and files of its own.
import assert from 'node:assert/strict'

/** The fenced blocks in this language, in their order. */
export function blocksOf(page: string, language: string): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')
  return [...page.matchAll(fence)].map(([, text = '']) => text)
}

/** The first of them. Errors: AssertionError where there is none. */
export function blockOf(page: string, language: string): string {
  return blocksOf(page, language)[0] ?? assert.fail(`the page has no ${language}`)
}

/** Every occurrence of each. Errors: AssertionError where the text does not have one of them. */
export function replaced(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((changed, [from, to]) => {
    assert.ok(changed.includes(from), `the page does not say ${from}`)
    return changed.replaceAll(from, to)
  }, text)
}
