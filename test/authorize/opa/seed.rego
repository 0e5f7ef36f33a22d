package registry.authz
default allow = false
allow {
input.method == "GET"
input.path = ["v2", "_catalog"]
input.user.role == "admin"
}
