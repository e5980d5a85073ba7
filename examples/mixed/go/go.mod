module github.com/clusterkit/clusterkit/examples/mixed/go

go 1.24

require github.com/clusterkit/clusterkit-go v0.1.0

require (
	github.com/clusterkit/clusterkit-go/lib/linux-amd64 v0.1.0 // indirect
	github.com/clusterkit/clusterkit-go/lib/linux-arm64 v0.1.0 // indirect
)

// Here it lies in the same repository. A program of yours has no such lines.
replace (
	github.com/clusterkit/clusterkit-go => ../../../bindings/go
	github.com/clusterkit/clusterkit-go/lib/linux-amd64 => ../../../bindings/go/lib/linux-amd64
	github.com/clusterkit/clusterkit-go/lib/linux-arm64 => ../../../bindings/go/lib/linux-arm64
)
