package clusterkit_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// What looks something up takes a node's view or a client's.
var _ = []interface {
	View() (*clusterkit.View, error)
}{(*clusterkit.ClusterKit)(nil), (*clusterkit.Client)(nil)}

// following makes a client of the cluster that a node is in. It is closed at the end of the test.
func following(t testing.TB, member *clusterkit.ClusterKit, change ...func(*clusterkit.ClientOptions)) *clusterkit.Client {
	t.Helper()
	address, err := member.HTTPAddr()
	must(t, err)
	return clientOf(t, address, change...)
}

func clientOf(t testing.TB, address string, change ...func(*clusterkit.ClientOptions)) *clusterkit.Client {
	t.Helper()
	options := clusterkit.ClientOptions{Addrs: []string{address}, RetryMax: 200 * time.Millisecond}
	for _, change := range change {
		change(&options)
	}
	client, err := clusterkit.NewClient(options)
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func viewOf(t testing.TB, source interface {
	View() (*clusterkit.View, error)
}) *clusterkit.View {
	t.Helper()
	view, err := source.View()
	must(t, err)
	return view
}

// written is the revision of a write.
func written(t testing.TB, member *clusterkit.ClusterKit) uint64 {
	t.Helper()
	revision, err := member.CompareAndSetCustomData(soon(t), "key", []byte("value"), clusterkit.ExpectAny)
	must(t, err)
	return revision
}

func TestAClientAnswersAsAMember(t *testing.T) {
	member := founded(t, "node-1")
	client := following(t, member)
	if revision, err := client.WaitReady(soon(t)); err != nil || revision == 0 {
		t.Fatal(revision, err)
	}
	revision := written(t, member)
	must(t, client.WaitForRevision(soon(t), revision))
	// From now on only the members' own records change, such as when they were heard: what is compared is not among it.
	seen, own := viewOf(t, client), viewOf(t, member)
	if seen.Revision() < revision || seen.PartitionCount() != 8 || seen.NodeCount() != 1 {
		t.Error(seen.Revision(), seen.PartitionCount(), seen.NodeCount())
	}
	for partition := range own.Partitions() {
		same := seen.Partition(partition.Number)
		if same.ID != partition.ID || same.PrimaryNode != partition.PrimaryNode || same.Epoch != partition.Epoch ||
			!slices.Equal(same.ReplicaNodes, partition.ReplicaNodes) || same.State != partition.State {
			t.Errorf("%+v instead of %+v", same, partition)
		}
	}
	route, err := seen.Route("user:1")
	must(t, err)
	address, err := member.HTTPAddr()
	must(t, err)
	if route.Primary.ID != "node-1" || route.Primary.IP != address || route.Partition.Number != clusterkit.PartitionFor("user:1", 8) {
		t.Errorf("%+v", route)
	}
	// It is no member, and plays no part.
	if seen.MyNode() != nil || route.Role != clusterkit.RoleNone || seen.RoleForKey("user:1") != clusterkit.RoleNone {
		t.Error("the client is a member")
	}
	for _, ask := range []func(context.Context) (uint64, error){client.Refresh, client.ReadBarrier} {
		if asked, err := ask(soon(t)); err != nil || asked < revision {
			t.Error(asked, err)
		}
	}

	status := client.Status()
	if status.Connected != address || status.Revision < revision || status.IsClosed || status.ClusterID != member.GetCluster().ID {
		t.Errorf("%+v", status)
	}
	if status.ClusterName == "" || status.LastContact > patience || len(status.Addrs) == 0 || status.Addrs[0].Addr != address || !status.Addrs[0].IsGiven {
		t.Errorf("%+v", status)
	}

	// What has ended still answers from what it has.
	must(t, client.Close())
	must(t, client.Close())
	if last := viewOf(t, client); last.Revision() < revision || last.PrimaryForKey("user:1") == nil {
		t.Error("the view is gone")
	}
	if status := client.Status(); !status.IsClosed || status.Revision < revision {
		t.Errorf("%+v", status)
	}
	_, err = client.Refresh(soon(t))
	is(t, err, clusterkit.ErrStopped)
	is(t, client.OnChange(func(*clusterkit.View) {}), clusterkit.ErrStopped)
}

// Nobody answers: lookups find nothing and wait for nothing, and calls that wait end.
func TestAClientOfNobody(t *testing.T) {
	client := clientOf(t, "127.0.0.1:1")
	view := viewOf(t, client)
	if view.Revision() != 0 || view.NodeCount() != 0 || view.PrimaryForKey("key") != nil {
		t.Error(view.Revision(), view.NodeCount())
	}
	_, err := view.PartitionForKey("key")
	is(t, err, clusterkit.ErrNotFound)
	until(t, "the failure is known", func() bool { return errors.Is(client.Status().LastError, clusterkit.ErrUnreachable) })
	status := client.Status()
	if status.Connected != "" || !status.IsStale || status.LastContact < math.MaxInt64/2 {
		t.Errorf("%+v", status)
	}
	if addr := status.Addrs[0]; addr.Failures == 0 || !errors.Is(addr.LastError, clusterkit.ErrUnreachable) {
		t.Errorf("%+v", addr)
	}
	// A deadline is the library's, which says what failed; a context that ends is Go's, at once.
	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = client.WaitReady(short)
	is(t, err, context.DeadlineExceeded)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, wait := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := client.WaitReady(ctx); return err },
		func(ctx context.Context) error { _, err := client.WaitForChange(ctx, 1<<60); return err },
		func(ctx context.Context) error { return client.WaitForRevision(ctx, 1<<60) },
		func(ctx context.Context) error { _, err := client.Refresh(ctx); return err },
		func(ctx context.Context) error { _, err := client.ReadBarrier(ctx); return err },
	} {
		if err := wait(ended); err != context.Canceled {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- wait(ctx) }()
		cancel()
		if err := received(t, "a call whose context has ended", done); err != context.Canceled {
			t.Error(err)
		}
		// And a client that ends tells whoever waits.
		other := make(chan error, 1)
		go func() { other <- wait(context.Background()) }()
		defer func() { is(t, received(t, "a call whose client has ended", other), clusterkit.ErrStopped) }()
	}
	within(t, "Close", func() { client.Close() })
}

func TestAClientHearsOfChanges(t *testing.T) {
	member := founded(t, "node-1")
	client := following(t, member)
	var last atomic.Uint64
	wrong := make(chan uint64, 1000)
	must(t, client.OnChange(func(view *clusterkit.View) {
		// Never back, and never the same twice.
		if earlier := last.Swap(view.Revision()); earlier >= view.Revision() || view.PartitionCount() != 8 {
			wrong <- earlier
		}
	}))
	for range 3 {
		revision := written(t, member)
		until(t, "the change is told", func() bool { return last.Load() >= revision })
	}
	if len(wrong) > 0 {
		t.Errorf("after %d came an older view, or the same", <-wrong)
	}

	// A later function takes the place of an earlier one, and hears of the present view first.
	handles := clusterkit.Handles()
	views := make(chan *clusterkit.View, 1000)
	must(t, client.OnChange(func(view *clusterkit.View) { views <- view }))
	if first := received(t, "the present view", views); first.Revision() < last.Load() {
		t.Error(first.Revision())
	}
	until(t, "the earlier function is let go", func() bool { return clusterkit.Handles() == handles })
	must(t, client.OnChange(nil))
	until(t, "the later one, too", func() bool { return clusterkit.Handles() == handles-1 })

	// The loop has the present view, then newer ones, and ends with its context and with the client.
	ctx, cancel := context.WithCancel(context.Background())
	seen := uint64(0)
	var ended error
	for view, err := range client.Changes(ctx) {
		switch {
		case err != nil:
			ended = err
		case view.Revision() <= seen:
			t.Error("an older view, or the same")
		case seen == 0:
			seen = view.Revision()
			written(t, member)
		default:
			cancel()
		}
	}
	cancel()
	if ended != context.Canceled {
		t.Error(ended)
	}
	done := make(chan error, 1)
	looped := make(chan struct{}, 1000)
	go func() {
		for _, err := range client.Changes(context.Background()) {
			if err != nil {
				done <- err
			}
			looped <- struct{}{}
		}
		close(done)
	}()
	received(t, "the loop runs", looped)
	must(t, client.Close())
	if err := received(t, "the loop ends", done); err != nil {
		t.Error(err)
	}
}

// A panic ends no process, and is told; and a function may close its own client.
func TestAFunctionOfOnChangeMayPanicAndClose(t *testing.T) {
	member := founded(t, "node-1")
	messages := &collector{}
	client := following(t, member, func(o *clusterkit.ClientOptions) { o.Logger = messages })
	var calls atomic.Int64
	must(t, client.OnChange(func(*clusterkit.View) {
		calls.Add(1)
		panic("words")
	}))
	until(t, "the panic is told", func() bool { return messages.has("ERROR", "words") })
	before := calls.Load()
	written(t, member)
	until(t, "it is called again", func() bool { return calls.Load() > before })
	must(t, client.SetLogger(nil))

	closed := make(chan error, 1)
	must(t, client.OnChange(func(*clusterkit.View) {
		select {
		case closed <- client.Close():
		default:
		}
	}))
	must(t, received(t, "Close inside the function", closed))
	until(t, "it has ended", func() bool { return client.Status().IsClosed })
}

func TestMessagesOfAClientReachTheLogger(t *testing.T) {
	member := founded(t, "node-1")
	messages := &collector{}
	client := following(t, member, func(o *clusterkit.ClientOptions) { o.Logger, o.PollTimeout = messages, 100*time.Millisecond })
	_, err := client.WaitReady(soon(t))
	must(t, err)
	must(t, member.Stop())
	until(t, "the end of the member is told", func() bool { return messages.has("INFO", "no longer follows") })
	if messages.has("INFO", "node \n") {
		t.Error("a message has a node without a name")
	}
}

func TestAClientFollowsOneCluster(t *testing.T) {
	member := founded(t, "node-1")
	client := following(t, member, func(o *clusterkit.ClientOptions) { o.ClusterName = "another" })
	until(t, "the other cluster is refused", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		_, err := client.Refresh(ctx)
		return errors.Is(err, clusterkit.ErrWrongCluster)
	})
	is(t, client.Status().LastError, clusterkit.ErrWrongCluster)
}

func TestOptionsOfAClient(t *testing.T) {
	type change = func(*clusterkit.ClientOptions)
	for name, test := range map[string]struct {
		change change
		names  string
	}{
		"no address":        {func(o *clusterkit.ClientOptions) { o.Addrs = nil }, "addrs"},
		"a bad address":     {func(o *clusterkit.ClientOptions) { o.Addrs = []string{"nowhere"} }, "addrs"},
		"a negative time":   {func(o *clusterkit.ClientOptions) { o.PollTimeout = -time.Second }, "poll_timeout"},
		"a fine time":       {func(o *clusterkit.ClientOptions) { o.RetryMin = time.Microsecond }, "retry_min"},
		"few bytes":         {func(o *clusterkit.ClientOptions) { o.MaxResponseBytes = 1 }, "max_response_bytes"},
		"an unknown level":  {func(o *clusterkit.ClientOptions) { o.LogLevel = "loud" }, "log_level"},
		"an unknown option": {func(o *clusterkit.ClientOptions) { o.Extra = map[string]string{"addr": "x"} }, "addr"},
		"an option twice":   {func(o *clusterkit.ClientOptions) { o.Extra = map[string]string{"addrs": "x:1"} }, "addrs"},
	} {
		t.Run(name, func(t *testing.T) {
			o := clusterkit.ClientOptions{Addrs: []string{"127.0.0.1:1"}}
			test.change(&o)
			_, err := clusterkit.NewClient(o)
			is(t, err, clusterkit.ErrInvalidOption)
			contains(t, err.Error(), test.names)
		})
	}
	_, err := clusterkit.NewClientFromOptionSet(nil)
	is(t, err, clusterkit.ErrInvalidArgument)

	// Every field sets its option, and every option has a field.
	set, err := clusterkit.ClientOptions{
		Addrs: []string{"10.0.0.1:8080", "10.0.0.2:8080"}, ClusterName: "seven", Token: "ck1.read", GivenAddrsOnly: true, PollTimeout: 6 * time.Second,
		UpdateInterval: 300 * time.Millisecond, ConnectTimeout: 3 * time.Second, RequestTimeout: 4 * time.Second,
		RetryMin: 150 * time.Millisecond, RetryMax: 9 * time.Second, MaxResponseBytes: 1 << 20, LogLevel: "debug",
		TLSCert: "client.pem", TLSKey: "client.key", Insecure: true,
	}.OptionSet()
	must(t, err)
	must(t, set.Validate())
	want := map[string]string{
		"addrs": "10.0.0.1:8080,10.0.0.2:8080", "cluster_name": "seven", "token": "(hidden)", "member_addrs": "false", "poll_timeout": "6s",
		"update_interval": "300ms", "connect_timeout": "3s", "request_timeout": "4s", "retry_min": "150ms", "retry_max": "9s",
		"max_response_bytes": "1048576", "log_level": "debug",
		// An authority, and insecure, which verifies nothing, contradict each other.
		"tls_ca": "", "tls_cert": "client.pem", "tls_key": "client.key", "insecure": "true",
	}
	verifying, err := clusterkit.ClientOptions{TLSCA: "ca.pem"}.OptionSet()
	must(t, err)
	if ca, err := verifying.Get("tls_ca"); err != nil || ca != "ca.pem" {
		t.Errorf("tls_ca is %q: %v", ca, err)
	}
	for _, spec := range clusterkit.ClientOptionSpecs() {
		value, err := set.Get(spec.Name)
		must(t, err)
		if wanted, ok := want[spec.Name]; !ok || !sameValue(value, wanted) {
			t.Errorf("%s is %q instead of %q", spec.Name, value, wanted)
		}
		if spec.Type == "" || spec.Bounds == "" || spec.Help == "" {
			t.Errorf("the option is not described: %+v", spec)
		}
		delete(want, spec.Name)
	}
	for name := range want {
		t.Errorf("there is no option %s", name)
	}

	must(t, set.LoadJSON(`{"addrs": ["10.0.0.3:8080"], "poll_timeout": 7000}`))
	is(t, set.LoadJSON(`{"poll_timeout": true}`), clusterkit.ErrInvalidOption)
	is(t, set.Set("nonsense", "1"), clusterkit.ErrInvalidOption)
	_, err = set.Get("nonsense")
	is(t, err, clusterkit.ErrInvalidOption)
	if addrs, err := set.Get("addrs"); err != nil || addrs != "10.0.0.3:8080" {
		t.Error(addrs, err)
	}
}

// A client that the program has forgotten ends, and so does what it had of C's.
func TestAForgottenClientIsClosed(t *testing.T) {
	member := founded(t, "node-1")
	runtime.GC()
	handles := clusterkit.Handles()
	forget := func() {
		address, err := member.HTTPAddr()
		must(t, err)
		client, err := clusterkit.NewClient(clusterkit.ClientOptions{Addrs: []string{address}, Logger: quietLogger{}})
		must(t, err)
		must(t, client.OnChange(func(*clusterkit.View) {}))
		_, err = client.WaitReady(soon(t))
		must(t, err)
		viewOf(t, client)
		// What is given up keeps nobody alive.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, _ = client.WaitForChange(ctx, 1<<60)
	}
	for range 3 {
		forget()
	}
	until(t, "the callbacks are let go", func() bool {
		runtime.GC()
		return clusterkit.Handles() == handles
	})
}
