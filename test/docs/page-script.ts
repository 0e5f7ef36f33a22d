// Answers for a page as one bash script: its commands in their order, its files written where it shows them,
// its servers started, waited for and ended.
import { replaced } from '../support/page.ts'
import type { Block } from './page-blocks.ts'

/** What the commands of a page need to find. */
export interface PageScene {
  /** The programs that they call, beside bash and the product. */
  readonly tools: readonly string[]
  /** `clone`: they run in a copy of the project; otherwise in an empty folder. */
  readonly folder?: 'clone'
  /** Whether `docker` means an engine of the scene's own. */
  readonly docker?: true
  /** Bash that runs before them, in the same shell. */
  readonly before?: string
  /** Put at the end of each file of its toml blocks: what the page says that they need. */
  readonly store?: string
  /** Bash that runs behind them, to see what they came to. */
  readonly after?: string
  /** What is said on the page → what the scene has instead; each must be there. */
  readonly replace?: Readonly<Record<string, string>>
}

export const shells: readonly string[] = ['sh', 'bash', 'shell']

/** Shell functions that the scripts use; the scenes' own beginnings may, too. */
const prelude = `set -euxo pipefail
serving=
end_server() {
  [ -z "$serving" ] || { kill "$serving"; wait "$serving" || true; }
  serving=
}
# FILE: its log. Waits until what runs as $serving says that it serves.
await_server() {
  { set +x; } 2>/dev/null
  until grep -qE '"msg":"serving"| INFO serving ' "$1"; do
    kill -0 "$serving" || { cat "$1" >&2; return 1; }
    sleep 0.05
  done
  set -x
}
serve() { # COMMAND...
  end_server
  # The one before must not seem to be the new one's.
  : >server.log
  "$@" >>server.log 2>&1 &
  serving=$!
  await_server server.log
}
trap end_server EXIT
`

export function pageScript(blocks: readonly Block[], scene: PageScene): string {
  const body = blocks.map((block) => blockScript(block, scene)).join('')
  return `${prelude}${scene.before ?? ''}\n${replaced(body, scene.replace ?? {})}${scene.after ?? ''}`
}

function blockScript(
  { page, line, language, text, mark }: Block,
  { store = '' }: PageScene,
): string {
  const at = `: '${page}:${line}'\n`
  if (mark.kind === 'file') {
    const whole = language === 'toml' ? `${text}${store}` : text
    return `${at}cat > ${mark.value} <<'END_OF_FILE'\n${whole}END_OF_FILE\n`
  }
  if (mark.kind === 'not-run' || !shells.includes(language)) return ''
  if (mark.kind === 'none') return `${at}${text}`
  const commands = text.trimEnd().split('\n')
  const last = commands.pop() ?? ''
  return `${at}${commands.map((command) => `${command}\n`).join('')}serve ${last}\n`
}
