package clusterkit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// collector keeps what it is told.
type collector struct {
	mu    sync.Mutex
	lines []string
}

func (c *collector) put(level, msg string, args []interface{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, level+" "+msg+" "+fmt.Sprintln(args...))
}

func (c *collector) Info(msg string, args ...interface{})  { c.put("INFO", msg, args) }
func (c *collector) Warn(msg string, args ...interface{})  { c.put("WARN", msg, args) }
func (c *collector) Error(msg string, args ...interface{}) { c.put("ERROR", msg, args) }
func (c *collector) Debug(msg string, args ...interface{}) { c.put("DEBUG", msg, args) }

func (c *collector) has(level, part string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range c.lines {
		if strings.HasPrefix(line, level) && strings.Contains(line, part) {
			return true
		}
	}
	return false
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

func TestMessagesReachTheLogger(t *testing.T) {
	messages := &collector{}
	ck := made(t, "node-1", func(o *clusterkit.Options) { o.Logger, o.LogLevel = messages, "debug" })
	must(t, ck.Start())
	until(t, "messages for operators, and a warning", func() bool {
		return messages.has("INFO", "node node-1") && messages.has("WARN", "founds a NEW cluster")
	})
	must(t, ck.SetLogger(nil))
	must(t, ck.Stop())

	// A later one takes the place of an earlier one.
	earlier, later := &collector{}, &collector{}
	replaced := made(t, "node-2", func(o *clusterkit.Options) { o.Logger = earlier })
	must(t, replaced.SetLogger(later))
	must(t, replaced.Start())
	until(t, "the later one is told", func() bool { return later.has("INFO", "node node-2") })
	if earlier.count() != 0 {
		t.Error(earlier.lines)
	}
}

func TestMessagesReachSlog(t *testing.T) {
	var lock sync.Mutex
	var text bytes.Buffer
	handler := slog.NewTextHandler(writer(func(line []byte) (int, error) {
		lock.Lock()
		defer lock.Unlock()
		return text.Write(line)
	}), &slog.HandlerOptions{Level: clusterkit.LevelTrace})
	has := func(part string) bool {
		lock.Lock()
		defer lock.Unlock()
		return strings.Contains(text.String(), part)
	}
	ck := made(t, "node-1", func(o *clusterkit.Options) {
		o.Logger, o.LogLevel = clusterkit.SlogLogger(slog.New(handler)), "trace"
	})
	must(t, ck.Start())
	until(t, "a message of each kind", func() bool { return has("level=INFO") && has("node=node-1") })
	must(t, ck.Stop())
	// A *slog.Logger is a Logger as it is.
	var _ clusterkit.Logger = slog.New(handler)
}

type writer func([]byte) (int, error)

func (w writer) Write(line []byte) (int, error) { return w(line) }

func TestALoggerMayPanicBlockAndClose(t *testing.T) {
	ck := made(t, "node-1", func(o *clusterkit.Options) { o.Logger = panicking{} })
	must(t, ck.Start())
	must(t, ck.Stop())

	open := make(chan struct{})
	blocked := made(t, "node-2", func(o *clusterkit.Options) { o.Logger = &blocking{open: open} })
	must(t, blocked.Start())
	until(t, "the node works", func() bool { return primaries(blocked) == 8 })
	close(open)

	closer := &closing{closed: make(chan struct{})}
	closed := made(t, "node-3")
	closer.node = closed
	must(t, closed.SetLogger(closer))
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	_ = closed.StartContext(ctx)
	received(t, "Close inside the logger", closer.closed)
}

type panicking struct{ quietLogger }

func (panicking) Info(string, ...interface{}) { panic("no words") }

type blocking struct {
	quietLogger
	open chan struct{}
}

func (b *blocking) Info(string, ...interface{}) { <-b.open }

type closing struct {
	quietLogger
	once   sync.Once
	node   *clusterkit.ClusterKit
	closed chan struct{}
}

func (c *closing) Info(string, ...interface{}) {
	c.once.Do(func() {
		c.node.Close()
		close(c.closed)
	})
}
