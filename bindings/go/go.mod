module github.com/clusterkit/clusterkit-go

go 1.24

// The platforms' libraries: each is a module of its own, so that a build fetches only the one that it needs.
require (
	github.com/clusterkit/clusterkit-go/lib/linux-amd64 v0.1.0
	github.com/clusterkit/clusterkit-go/lib/linux-arm64 v0.1.0
)

// Here they lie beside this module. pack.py removes these lines from what it publishes.
replace (
	github.com/clusterkit/clusterkit-go/lib/linux-amd64 => ./lib/linux-amd64
	github.com/clusterkit/clusterkit-go/lib/linux-arm64 => ./lib/linux-arm64
)
