// Where a list goes on. Source: RFC 8288, distribution-spec "Listing Tags".

const link = /^\s*<([^>]*)>\s*((?:;[^,;]*)*)(?:,|$)/
const isNext = /;\s*rel\s*=\s*"?(?:[^";]*\s)?next(?:\s[^";]*)?"?\s*(?:;|$)/i

/** Undefined for the last page. */
export function nextPage(header: string | string[] | undefined, from: URL): URL | undefined {
  let rest = Array.isArray(header) ? header.join(', ') : (header ?? '')
  for (;;) {
    const found = link.exec(rest)
    if (found === null) return undefined
    const [whole, target = '', parameters = ''] = found
    if (isNext.test(parameters)) {
      return URL.canParse(target, from.href) ? new URL(target, from) : undefined
    }
    rest = rest.slice(whole.length)
  }
}
