// The configuration and the commands of the document "Configure mTLS" that the product has to satisfy,
// word for word.

/** "Step 2: Update Configuration". */
export const configuration = `
[server]
bind_address = "0.0.0.0"
port = 8000
[server.tls]
server_certificate_bundle = "/tls/server-certificate.pem"
server_private_key = "/tls/server-private-key.pem"
client_ca_bundle = "/tls/client-ca-bundle.pem"
# Controls how the server treats client certificates when client_ca_bundle is set:
# "optional": clients may connect with or without a cert (cert identity is used in policy when present).
# "required": the TLS handshake fails unless the client presents a cert signed by client_ca_bundle.
client_auth = "required"
`

/** "Verification". */
export const curlCommand = `
curl --cert client.pem --key client-key.pem \\
--cacert ca.pem \\
https://registry.example.com:8000/v2/
`

/** "Access Control with Certificates". */
export const accessControl = `
[global.access_policy]
default = "deny"
rules = [
# Allow clients with specific organization
"identity.certificate.organizations.contains('Infrastructure')",
# Allow specific common name
"'build-server' in identity.certificate.common_names",
# Combine with other auth methods
"identity.username == 'admin'"
]
`

/** "Scenario 1: Certificate Required". */
export const requiredTls = `
[server.tls]
server_certificate_bundle = "/tls/server-certificate.pem"
server_private_key = "/tls/server-private-key.pem"
client_ca_bundle = "/tls/client-ca-bundle.pem"
client_auth = "required"
`
export const requiredPolicy = `
[global.access_policy]
default = "deny"
rules = [
"size(identity.certificate.common_names) > 0"
]
`

/** "Scenario 2: Certificate Optional". */
export const optionalPolicy = `
[global.access_policy]
default = "deny"
rules = [
# Certificate grants full access
"identity.certificate.organizations.contains('DevOps')",
# Basic auth for read-only
"identity.username != '' && request.action.startsWith('get-')"
]
`

/** "Scenario 3: Different Orgs, Different Access". */
export const repositoryPolicies = `
# Developers can push to dev repo
[repository."dev".access_policy]
default = "deny"
rules = [
"identity.certificate.organizations.contains('Developers')"
]
# Only platform team can push to production
[repository."prod".access_policy]
default = "deny"
rules = [
"identity.certificate.organizations.contains('Platform')"
]
`

/** "Docker", "Podman" and "containerd", without their restarts: the engines are started after it. */
export const certificateFolders = {
  docker: `
mkdir -p /etc/docker/certs.d/registry.example.com
cp client-certificate.pem /etc/docker/certs.d/registry.example.com/client.cert
cp client-private-key.pem /etc/docker/certs.d/registry.example.com/client.key
cp ca-certificate.pem /etc/docker/certs.d/registry.example.com/ca.crt
`,
  podman: `
mkdir -p /etc/containers/certs.d/registry.example.com
cp client-certificate.pem /etc/containers/certs.d/registry.example.com/client.cert
cp client-private-key.pem /etc/containers/certs.d/registry.example.com/client.key
cp ca-certificate.pem /etc/containers/certs.d/registry.example.com/ca.crt
`,
  containerd: `
mkdir -p /etc/containerd/certs.d/registry.example.com
cp client-certificate.pem /etc/containerd/certs.d/registry.example.com/client.cert
cp client-private-key.pem /etc/containerd/certs.d/registry.example.com/client.key
cp ca-certificate.pem /etc/containerd/certs.d/registry.example.com/ca.crt
`,
} as const

/** "Configure containerd 2.x" and "For containerd 1.x". */
export const containerdConfigurations = {
  '2.x': `
version = 3
[plugins."io.containerd.cri.v1.images".registry]
config_path = "/etc/containerd/certs.d"
`,
  '1.x': `
version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
`,
} as const

/** "Test with Docker". */
export const dockerCommand = 'docker pull registry.example.com/test/alpine:latest'

/** Its configurations name files under `/tls/`, which a test has elsewhere. */
export function withFilesIn(folder: string, toml: string): string {
  return toml.replaceAll('"/tls/', `"${folder}/`)
}
