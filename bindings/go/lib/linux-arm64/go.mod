module github.com/clusterkit/clusterkit-go/lib/linux-arm64

go 1.24
