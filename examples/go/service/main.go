// A service that keeps keys with values on several nodes: PUT and GET /kv/KEY on any of them. ClusterKit says which node a key
// belongs to; the node that is asked forwards the request there.
//
//	service -id node-1 -api 127.0.0.1:9081 -http 127.0.0.1:8081
//	service -id node-2 -api 127.0.0.1:9082 -http 127.0.0.1:8082 -join 127.0.0.1:8081
//	curl -X PUT --data hello http://127.0.0.1:9081/kv/user:1; curl -i http://127.0.0.1:9082/kv/user:1
//
// Values are in memory, and on two nodes each: what both lose at the same time is gone.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// escaped is a key in a path.
func escaped(key string) string { return url.PathEscape(key) }

func run(ctx context.Context, options clusterkit.Options, listener net.Listener) error {
	options.Services = map[string]string{serviceName: listener.Addr().String()}
	node, err := clusterkit.New(options)
	if err != nil {
		return err
	}
	defer node.Close()
	server := &http.Server{Handler: newService(node).handler()}
	served := make(chan error, 1)
	// Before the node starts: others copy from it as soon as it is a member.
	go func() { served <- server.Serve(listener) }()
	// Told to end while it starts, it ends in the same order.
	if err := node.StartContext(ctx); err != nil && ctx.Err() == nil {
		return errors.Join(err, server.Close())
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// The node first: while it hands its roles over, requests are still answered.
	return errors.Join(node.Stop(), server.Shutdown(context.Background()))
}

func main() {
	var options clusterkit.Options
	flag.StringVar(&options.NodeID, "id", "node-1", "this node's name, unique and the same after every restart")
	flag.StringVar(&options.HTTPAddr, "http", "127.0.0.1:8081", "where ClusterKit listens")
	flag.StringVar(&options.JoinAddr, "join", "", "a member to join through; none founds a cluster")
	api := flag.String("api", "127.0.0.1:9081", "where the service listens")
	flag.Parse()
	// What the service keeps is in memory: so is the membership, and a node that restarts is empty for both.
	options.InMemory = true
	options.ReplicationFactor = 2
	options.Logger = slog.Default()
	listener, err := net.Listen("tcp", *api)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, options, listener); err != nil {
		log.Fatal(err)
	}
}
