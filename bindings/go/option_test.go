package clusterkit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

type change = func(*clusterkit.Options)

// What fields say is checked, and the option's name is in the message.
func TestOptionsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		change change
		names  string
	}{
		"no id":               {func(o *clusterkit.Options) { o.NodeID = "" }, "node_id"},
		"no address":          {func(o *clusterkit.Options) { o.HTTPAddr = "" }, "http_addr"},
		"a bad id":            {func(o *clusterkit.Options) { o.NodeID = "a b" }, "node_id"},
		"a bad address":       {func(o *clusterkit.Options) { o.HTTPAddr = "nowhere" }, "http_addr"},
		"a negative count":    {func(o *clusterkit.Options) { o.PartitionCount = -1 }, "partition_count"},
		"too many partitions": {func(o *clusterkit.Options) { o.PartitionCount = 1 << 30 }, "partition_count"},
		"a negative time":     {func(o *clusterkit.Options) { o.SyncInterval = -time.Second }, "sync_interval"},
		"a fine time":         {func(o *clusterkit.Options) { o.LeaseTTL = 1500 * time.Microsecond }, "lease_ttl"},
		"an unknown profile":  {func(o *clusterkit.Options) { o.Timing = "slow" }, "timing"},
		"an unknown level":    {func(o *clusterkit.Options) { o.LogLevel = "loud" }, "log_level"},
		"two names": {func(o *clusterkit.Options) {
			o.ClusterName, o.Config = "a", &clusterkit.Config{ClusterName: "b"}
		}, "cluster_name"},
		"two counts": {func(o *clusterkit.Options) {
			o.PartitionCount, o.Config = 8, &clusterkit.Config{PartitionCount: 16}
		}, "partition_count"},
		"two factors": {func(o *clusterkit.Options) {
			o.ReplicationFactor, o.Config = 2, &clusterkit.Config{ReplicationFactor: 3}
		}, "replication_factor"},
		"memory and disk":   {func(o *clusterkit.Options) { o.DataDir = "data" }, "data_dir"},
		"health both ways":  {func(o *clusterkit.Options) { o.HealthCheck.Enabled, o.HealthCheck.Disabled = true, true }, "health_check.enabled"},
		"an unknown option": {func(o *clusterkit.Options) { o.Extra = map[string]string{"node_idd": "x"} }, "node_idd"},
		"an option twice":   {func(o *clusterkit.Options) { o.Extra = map[string]string{"node_id": "x"} }, "node_id"},
		"an empty service":  {func(o *clusterkit.Options) { o.Services = map[string]string{"kv": ""} }, "services.kv"},
		"a bad service":     {func(o *clusterkit.Options) { o.Services = map[string]string{"kv": "9080"} }, "services"},
		"impatient leases":  {func(o *clusterkit.Options) { o.SyncInterval, o.LeaseTTL = time.Second, time.Second }, "sync_interval"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options("node-1", test.change)
			_, err := clusterkit.New(o)
			is(t, err, clusterkit.ErrInvalidOption)
			contains(t, err.Error(), test.names)
		})
	}
}

func effective(t *testing.T, o clusterkit.Options) map[string]string {
	t.Helper()
	set, err := o.OptionSet()
	must(t, err)
	text, err := set.Effective()
	must(t, err)
	values := map[string]string{}
	must(t, json.Unmarshal(text, &values))
	return values
}

// Every field sets its option, and every option has a field.
func TestEveryOptionHasAField(t *testing.T) {
	o := clusterkit.Options{
		NodeID:                  "node-7",
		NodeName:                "Seven",
		HTTPAddr:                ":8080",
		RaftAddr:                ":9001",
		AdvertiseAddr:           "10.0.0.7:8080",
		JoinAddr:                "10.0.0.1:8080, 10.0.0.2:8080",
		KnownNodes:              []string{"10.0.0.2:8080", "10.0.0.3:8080"},
		JoinTimeout:             61 * time.Second,
		Bootstrap:               true,
		ClusterName:             "seven",
		Config:                  &clusterkit.Config{ClusterName: "seven", PartitionCount: 32, ReplicationFactor: 2},
		DataDir:                 "/tmp/seven",
		SyncInterval:            400 * time.Millisecond,
		LeaseTTL:                1300 * time.Millisecond,
		HealthCheck:             clusterkit.HealthCheckConfig{Disabled: true, Interval: 700 * time.Millisecond, Timeout: 300 * time.Millisecond, FailureThreshold: 5},
		RebalanceDelay:          12 * time.Second,
		MigrationTimeout:        4 * time.Minute,
		MaxConcurrentMigrations: 3,
		MaxClusterMigrations:    9,
		Timing:                  "lan",
		TimingHeartbeat:         40 * time.Millisecond,
		TimingElectionMin:       140 * time.Millisecond,
		TimingElectionMax:       280 * time.Millisecond,
		MaxVoters:               7,
		Services:                map[string]string{"kv": ":9080", "api": "10.0.0.7:3000"},
		Labels:                  map[string]string{"rack": "r1"},
		Weight:                  50,
		Zone:                    "eu-1",
		HookConcurrency:         20,
		RuntimeThreads:          2,
		LogLevel:                "debug",
		ClusterSecret:           aSecret,
		ClusterSecretFile:       "/run/secret",
		TLS:                     clusterkit.TLSConfig{Cert: "/run/cert", Key: "/run/key", CA: "/run/ca"},
		SecurityRollout:         true,
		AllowedCIDRs:            []string{"10.0.0.0/8", "fd00::/8"},
		ReservedDataPrefix:      "own/",
	}
	want := map[string]string{
		"node_id":                        "node-7",
		"node_name":                      "Seven",
		"http_addr":                      ":8080",
		"raft_addr":                      ":9001",
		"advertise_addr":                 "10.0.0.7:8080",
		"join_addrs":                     "10.0.0.1:8080,10.0.0.2:8080,10.0.0.3:8080",
		"join_timeout":                   "1m1s",
		"bootstrap":                      "true",
		"bootstrap_expect":               "3",
		"cluster_name":                   "seven",
		"partition_count":                "32",
		"replication_factor":             "2",
		"data_dir":                       "/tmp/seven",
		"sync_interval":                  "400ms",
		"lease_ttl":                      "1300ms",
		"health_check.enabled":           "false",
		"health_check.interval":          "700ms",
		"health_check.timeout":           "300ms",
		"health_check.failure_threshold": "5",
		"rebalance_delay":                "12s",
		"migration_timeout":              "4m",
		"max_concurrent_migrations":      "3",
		"max_cluster_migrations":         "9",
		"timing":                         "lan",
		"timing.heartbeat":               "40ms",
		"timing.election_min":            "140ms",
		"timing.election_max":            "280ms",
		"max_voters":                     "7",
		"services":                       "api=10.0.0.7:3000,kv=:9080",
		"labels":                         "rack=r1",
		"weight":                         "50",
		"zone":                           "eu-1",
		"hook_concurrency":               "20",
		"runtime_threads":                "2",
		"log_level":                      "debug",
		"cluster_secret":                 "(hidden)",
		"cluster_secret_file":            "/run/secret",
		"tls.cert":                       "/run/cert",
		"tls.key":                        "/run/key",
		"tls.ca":                         "/run/ca",
		"insecure":                       "true",
		"security_rollout":               "true",
		"allowed_cidrs":                  "10.0.0.0/8,fd00::/8",
		"reserved_data_prefix":           "own/",
	}
	secretFile := o.ClusterSecretFile
	// A secret is in the options or in a file.
	o.ClusterSecretFile = ""
	values := effective(t, o)
	// Not both: the two contradict each other.
	o.Bootstrap, o.BootstrapExpect = false, 3
	values["bootstrap_expect"] = effective(t, o)["bootstrap_expect"]
	o.ClusterSecret, o.ClusterSecretFile = "", secretFile
	values["cluster_secret_file"] = effective(t, o)["cluster_secret_file"]
	open := clusterkit.Options{NodeID: "n", HTTPAddr: ":1", Insecure: true}
	values["insecure"] = effective(t, open)["insecure"]
	for name, value := range want {
		if !sameValue(values[name], value) {
			t.Errorf("%s is %q instead of %q", name, values[name], value)
		}
	}
	for _, spec := range clusterkit.OptionSpecs() {
		if _, ok := want[spec.Name]; !ok {
			t.Errorf("the option %s has no field in Options", spec.Name)
		}
		if spec.Type == "" || spec.Bounds == "" || spec.Help == "" || len(spec.Env) == 0 {
			t.Errorf("the option is not described: %+v", spec)
		}
	}
}

const aSecret = "hY3kPq8vWz1RtN5cXs7DfGj2LmB9aQeU4oKiT6yHwEn"

func TestASecretIsNotPrinted(t *testing.T) {
	options := clusterkit.Options{ClusterSecret: aSecret}
	client := clusterkit.ClientOptions{Token: aSecret}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(form+form, options, client); strings.Contains(text, aSecret) || !strings.Contains(text, "(hidden)") {
			t.Error(text)
		}
	}
	set, err := options.OptionSet()
	must(t, err)
	value, err := set.Get("cluster_secret")
	must(t, err)
	if value != "(hidden)" {
		t.Error(value)
	}
}

// sameValue compares durations by what they mean.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	one, errOne := clusterkit.ParseDuration(a)
	two, errTwo := clusterkit.ParseDuration(b)
	return errOne == nil && errTwo == nil && one == two
}

func TestOptionsHaveDefaults(t *testing.T) {
	values := effective(t, clusterkit.Options{NodeID: "node-3", HTTPAddr: ":8080"})
	for name, want := range map[string]string{
		"node_name": "Server-3", "cluster_name": "clusterkit-cluster", "data_dir": "./clusterkit-data",
		"health_check.enabled": "true", "hook_concurrency": "50",
	} {
		if values[name] != want {
			t.Errorf("%s is %q instead of %q", name, values[name], want)
		}
	}
	for id, name := range map[string]string{"server-2": "Server-2", "3": "Server-3", "node-3": "Server-3", "orders": "orders"} {
		if found := effective(t, clusterkit.Options{NodeID: id, HTTPAddr: ":8080"})["node_name"]; found != name {
			t.Errorf("%s is called %q instead of %q", id, found, name)
		}
	}
	zero := clusterkit.Options{NodeID: "n", HTTPAddr: ":1", Extra: map[string]string{"weight": "0", "rebalance_delay": "0s", "bootstrap": "false"}}
	values = effective(t, zero)
	if values["weight"] != "0" || !sameValue(values["rebalance_delay"], "0s") || values["bootstrap"] != "false" {
		t.Error(values)
	}
	memory := clusterkit.Options{NodeID: "n", HTTPAddr: ":1", InMemory: true}
	if values := effective(t, memory); values["data_dir"] != "" {
		t.Error(values)
	}
}

func TestAnOptionSetIsReadFromEverywhere(t *testing.T) {
	set, err := clusterkit.NewOptionSet()
	must(t, err)
	is(t, set.Validate(), clusterkit.ErrInvalidOption)
	must(t, set.LoadJSON(`{"node_id": "from-json", "http_addr": "127.0.0.1:0", "health_check": {"interval": "600ms"}}`))
	must(t, set.Validate())
	path := filepath.Join(t.TempDir(), "options.json")
	must(t, os.WriteFile(path, []byte(`{"clusterId": "from-file", "data_dir": ""}`), 0o600))
	must(t, set.LoadFile(path))
	t.Setenv("CLUSTERKIT_ZONE", "from-env")
	must(t, set.LoadEnv())
	must(t, set.Set("labels.rack", "r1"))
	for name, want := range map[string]string{
		"node_id": "from-json", "health_check.interval": "600ms", "cluster_name": "from-file", "zone": "from-env",
		"labels": "rack=r1", "max_voters": "5", "node_name": "",
	} {
		value, err := set.Get(name)
		must(t, err)
		if !sameValue(value, want) {
			t.Errorf("%s is %q instead of %q", name, value, want)
		}
	}
	_, err = set.Get("nodeid_")
	is(t, err, clusterkit.ErrInvalidOption)
	is(t, set.Set("partition_count", "0"), clusterkit.ErrInvalidOption)
	is(t, set.LoadJSON("{"), clusterkit.ErrInvalidOption)
	is(t, set.LoadFile(path+"x"), clusterkit.ErrIO)
	t.Setenv("CLUSTERKIT_WEIGHT", "heavy")
	is(t, set.LoadEnv(), clusterkit.ErrInvalidOption)

	ck, err := clusterkit.NewFromOptionSet(set)
	must(t, err)
	defer ck.Close()
	if ck.GetMyNodeID() != "from-json" {
		t.Error(ck.GetMyNodeID())
	}
	must(t, ck.Start())
	if name := ck.GetCluster().Name; name != "from-file" {
		t.Error(name)
	}
	_, err = clusterkit.NewFromOptionSet(nil)
	is(t, err, clusterkit.ErrInvalidArgument)
}

func TestDurationsAreRead(t *testing.T) {
	for text, want := range map[string]time.Duration{"5s": 5 * time.Second, "1m30s": 90 * time.Second, "250": 250 * time.Millisecond} {
		if found, err := clusterkit.ParseDuration(text); err != nil || found != want {
			t.Errorf("%s: %v, %v", text, found, err)
		}
	}
	_, err := clusterkit.ParseDuration("soon")
	is(t, err, clusterkit.ErrInvalidArgument)
}

func TestTheVersionIsTheLibrarys(t *testing.T) {
	if clusterkit.Version() == "" || clusterkit.VersionNumber() == 0 || clusterkit.ABIVersion() != 1 {
		t.Error(clusterkit.Version(), clusterkit.VersionNumber(), clusterkit.ABIVersion())
	}
}
