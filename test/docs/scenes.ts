// Answers for what the pages whose commands commands.test.ts runs need around them.
import type { PageScene } from './page-script.ts'

/** A server with this configuration beside a store where the pages have it. */
function serverWith(toml: string): string {
  return `mkdir -p /etc/keelson /var/lib/keelson /var/log/keelson
cat > /etc/keelson/config.toml <<'END_OF_FILE'
[blob_store.fs]
root_dir = "/var/lib/keelson"
${toml}
END_OF_FILE
serve keelson -c /etc/keelson/config.toml server
`
}

const store = '[blob_store.fs]\nroot_dir = "data"\n'

const audited = `[audit]
file = "/var/log/keelson/audit.jsonl"
hash_chain = true
[global.access_policy]
default = "deny"`

// An installation in which every line of the checklist holds.
const hardened = `mkdir -p /etc/keelson/tls /etc/keelson/credentials
cd /etc/keelson/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=registry.example.com \\
  -addext subjectAltName=DNS:registry.example.com -keyout server-private-key.pem -out server-certificate.pem
chmod 600 server-private-key.pem
export SSL_CERT_FILE=$PWD/server-certificate.pem CURL_CA_BUNDLE=$PWD/server-certificate.pem
cd /etc/keelson/credentials
echo 'tuesday fjord: lemon' | keelson argon > ci-password-hash
echo secret > webhook-token
chmod 600 *
cd -
${serverWith(`[server]
bind_address = "0.0.0.0"
port = 443
[server.tls]
server_certificate_bundle = "tls/server-certificate.pem"
server_private_key = "tls/server-private-key.pem"
[auth.identity.ci]
username = "ci"
password = { file = "credentials/ci-password-hash" }
[auth.webhook.guard]
url = "https://guard.example.com/"
bearer_token = { file = "credentials/webhook-token" }
[audit]
file = "/var/log/keelson/audit.jsonl"
hash_chain = true
[global.access_policy]
default = "deny"
rules = [
  "identity.username == 'ci' && request.namespace.startsWith('team/') && !request.action.startsWith('delete-')",
]`)}`

// One that holds team/app:v1.
const dockerRegistry = `mkdir -p /var/lib/docker-registry
cat > registry.yml <<'END_OF_FILE'
version: 0.1
storage: { filesystem: { rootdirectory: /var/lib/docker-registry } }
http: { addr: '127.0.0.1:5000' }
END_OF_FILE
# It takes variables such as REGISTRY_AUTH_FILE, which are for clients, for its own.
env -i PATH="$PATH" docker-registry serve registry.yml >registry.log 2>&1 &
registry=$!
umoci init --layout made
umoci new --image made:v1
until curl -sSf http://127.0.0.1:5000/v2/ >/dev/null; do
  kill -0 "$registry" || { cat registry.log >&2; exit 1; }
  sleep 0.05
done
skopeo copy --insecure-policy --dest-tls-verify=false oci:made:v1 docker://127.0.0.1:5000/team/app:v1
mkdir -p ~/.config/containers
echo '{"default":[{"type":"insecureAcceptAnything"}]}' > ~/.config/containers/policy.json
`

/** By page. Their addresses, names and system folders are as the pages write them. */
export const scenes: Readonly<Record<string, PageScene>> = {
  'README.md': {
    tools: ['curl', 'docker', 'dockerd', 'openssl', 'npm'],
    folder: 'clone',
    docker: true,
    after: `tags=https://localhost:8443/v2/team/app/tags/list
curl -sS --cacert tls/server.pem "$tags" | grep UNAUTHORIZED
curl -sS --cacert tls/server.pem --user "ci:$(cat ci-password)" "$tags" | grep '"v1"'
`,
  },
  'docs/audit.md': {
    tools: ['curl'],
    before: `${serverWith(audited)}
ID=$(curl -sS http://127.0.0.1:8000/v2/app/manifests/v1 | sed 's/.*"decisionId":"\\([^"]*\\)".*/\\1/')
end_server
sed -n 1p /var/log/keelson/audit.jsonl > audit.jsonl.2
sed -n 2p /var/log/keelson/audit.jsonl > audit.jsonl.1
sed -n '3,$p' /var/log/keelson/audit.jsonl > audit.jsonl
[ -s audit.jsonl ]
serve keelson -c /etc/keelson/config.toml server
ID=$(curl -sS http://127.0.0.1:8000/v2/app/manifests/v1 | sed 's/.*"decisionId":"\\([^"]*\\)".*/\\1/')
`,
    replace: { '6f9619ff-8b86-4d01-b42d-00cf4fc964ff': '"$ID"' },
  },
  'docs/encryption.md': {
    tools: ['openssl'],
    before: `mkdir -p /etc/keelson/credentials
(umask 077; openssl rand -hex 32 > /etc/keelson/credentials/blob-keys)
${serverWith(`[blob_store.fs.encryption]
keys = { file = "/etc/keelson/credentials/blob-keys" }
[global.access_policy]
default = "allow"`)}
end_server
`,
  },
  'docs/backup.md': {
    tools: ['curl', 'rsync'],
    before: `${serverWith('[global.access_policy]\ndefault = "allow"')}
type=application/vnd.oci.image.index.v1+json
echo "{\\"schemaVersion\\":2,\\"mediaType\\":\\"$type\\",\\"manifests\\":[]}" > index.json
manifests=http://127.0.0.1:8000/v2/team/app/manifests
curl -sS --fail-with-body -X PUT -H "Content-Type: $type" --data-binary @index.json "$manifests/v1"
`,
    replace: {
      // Not that of the machine that runs the test.
      '/var/backups/keelson': '/var/lib/backups/keelson',
      'backup@vault.example.com:keelson/': '/var/lib/vault/',
      // A new host: the server has ended, and its store is empty.
      'keelson -c /etc/keelson/config.toml check-config':
        'end_server; rm -r /var/lib/keelson/*\nkeelson -c /etc/keelson/config.toml check-config',
    },
    after: `curl -sS --fail-with-body -o manifest.json "$manifests/v1"; cmp manifest.json index.json
keelson backup verify /var/lib/vault
`,
  },
  'docs/migrate.md': {
    tools: ['curl'],
    before: `${serverWith('[global.access_policy]\ndefault = "allow"')}
type=application/vnd.oci.image.index.v1+json
echo "{\\"schemaVersion\\":2,\\"mediaType\\":\\"$type\\",\\"manifests\\":[]}" > index.json
manifests=http://127.0.0.1:8000/v2/team/app/manifests
curl -sS --fail-with-body -X PUT -H "Content-Type: $type" --data-binary @index.json "$manifests/v1"
`,
    after: `test "$(curl -sS -o refused.json -w '%{http_code}' -X DELETE "$manifests/v1")" = 503
curl -sS --fail-with-body -o manifest.json "$manifests/v1"; cmp manifest.json index.json
`,
  },
  'docs/fips.md': {
    tools: ['openssl', 'systemd-creds', 'shred'],
    before: `mkdir -p /etc/keelson/tls /var/lib/systemd
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /etc/keelson/tls/server-private-key.pem
`,
  },
  'docs/import.md': {
    tools: ['curl', 'docker-registry', 'skopeo', 'umoci'],
    before: `${dockerRegistry}${serverWith('[global.access_policy]\ndefault = "allow"')}`,
    after: 'kill "$registry"\n',
  },
  'docs/gc.md': {
    tools: ['curl'],
    before: `${serverWith('[global.access_policy]\ndefault = "allow"')}
type=application/vnd.oci.image.index.v1+json
echo "{\\"schemaVersion\\":2,\\"mediaType\\":\\"$type\\",\\"manifests\\":[]}" > index.json
digest=sha256:$(sha256sum index.json | cut -d ' ' -f 1)
manifests=http://127.0.0.1:8000/v2/team/app/manifests
curl -sS --fail-with-body -X PUT -H "Content-Type: $type" --data-binary @index.json "$manifests/v1"
curl -sS --fail-with-body -X DELETE "$manifests/$digest"
`,
    replace: {
      'restore sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b':
        'restore "$digest"',
    },
    after:
      'curl -sS --fail-with-body -o manifest.json "$manifests/v1"; cmp manifest.json index.json\n',
  },
  'docs/maintenance.md': {
    tools: [],
    before: serverWith('[global.access_policy]\ndefault = "deny"'),
  },
  'docs/policies.md': { tools: [], store },
  'docs/quotas.md': {
    tools: ['curl'],
    before: serverWith('[global.access_policy]\ndefault = "allow"'),
  },
  'docs/scrub.md': {
    tools: [],
    before: serverWith('[global.access_policy]\ndefault = "deny"'),
  },
  'docs/retention.md': {
    tools: ['curl'],
    before: `${serverWith(`[global.access_policy]
default = "allow"
[global.retention_policy]
rules = ["image.tag in ['main', 'latest']"]`)}
push() { # TAG CONTENT
  curl -sS -o /dev/null -w '%header{docker-content-digest}' -X PUT -H "Content-Type: $index" \\
    -d "{\\"schemaVersion\\":2,\\"mediaType\\":\\"$index\\",\\"manifests\\":[],\\"annotations\\":{\\"c\\":\\"$2\\"}}" \\
    "http://127.0.0.1:8000/v2/team/app/manifests/$1"
}
index=application/vnd.oci.image.index.v1+json
first=$(push main 1)
push main 2
sleep 0.1
moment=$(date -u +%FT%T.%3NZ)
push pr-1417 3
`,
    replace: { '--at 2h': '--at "$moment"', 'sha256:52ab…': '"$first"' },
    after: `curl -sS http://127.0.0.1:8000/v2/team/app/tags/list | grep '"tags":\\["main"\\]'
`,
  },
  'docs/security-checklist.md': { tools: ['curl', 'openssl'], before: hardened },
  'docs/tls.md': { tools: ['curl', 'openssl'], store },
  'docs/tokens.md': {
    tools: [],
    before: `${serverWith('[auth.token_service]\n[global.access_policy]\ndefault = "deny"')}
cp /etc/keelson/config.toml .
`,
    replace: {
      'revoke 741cf1e10650716a': `revoke "$(keelson -c config.toml token list | grep -oE '\\b[0-9a-f]{16}\\b' | head -1)"`,
    },
  },
}
