module github.com/clusterkit/clusterkit-go/lib/linux-amd64

go 1.24
