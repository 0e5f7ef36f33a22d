// Answers for a service manager's socket in tests: takes the messages of sd_notify(3) and keeps them in
// order. Perl binds it, since Node has no unix datagram sockets and every Debian has Perl.
import { join } from 'node:path'
import { type Daemon, startDaemon } from '../support/daemon.ts'

/** One message: its variables. */
export type Message = Readonly<Record<string, string>>

export interface NotifySocket {
  readonly path: string
  /** In order of arrival; it grows. */
  readonly messages: readonly Message[]
  close(): Promise<void>
}

// Each datagram becomes one line of hexadecimal digits. A file descriptor that comes with it, with which
// systemd-notify waits for its message to be read, is dropped by the kernel, which is an answer.
const script = `
  use Socket;
  $| = 1;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($s, sockaddr_un($ARGV[0])) or die $!;
  print "bound\\n";
  while (defined recv($s, my $m, 65536, 0)) { print "message ", unpack("H*", $m), "\\n"; }
`

/** Bind it in a folder of the test. */
export async function openNotifySocket(folder: string): Promise<NotifySocket> {
  const path = join(folder, 'notify')
  const messages: Message[] = []
  const daemon: Daemon<true> = await startDaemon({
    command: 'perl',
    args: ['-e', script, path],
    onLine: (line) => line === 'bound' || undefined,
  })
  let read = 0
  const take = (): void => {
    for (; read < daemon.log.length; read++) {
      const [word, hex = ''] = (daemon.log[read] ?? '').split(' ')
      if (word === 'message') messages.push(parse(Buffer.from(hex, 'hex').toString()))
    }
  }
  return {
    path,
    get messages() {
      take()
      // The barrier of systemd-notify says nothing of the service.
      return messages.filter((each) => !('BARRIER' in each))
    },
    close: async () => {
      await daemon.stop()
    },
  }
}

function parse(text: string): Message {
  return Object.fromEntries(
    text.split('\n').map((line) => {
      const at = line.indexOf('=')
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
}
