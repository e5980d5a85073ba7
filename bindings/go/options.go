//go:build cgo

package clusterkit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are what a node is made with. Only NodeID and HTTPAddr are required; a field that is zero is not set, and the default
// applies: docs/options.md has it, with the bounds, by the option's name, which is the field's in snake_case unless its comment
// says another.
//
// A value that is zero in earnest (a weight of 0, a rebalance_delay of 0s) is given in Extra.
type Options struct {
	// NodeID is this node's name in the cluster. Unique, and the same after every restart. Required.
	NodeID string
	// NodeName is for people.
	NodeName string
	// HTTPAddr is where the node listens, for HTTP and for other nodes: ":8080", "host:port". Port 0 asks the system. Required.
	HTTPAddr string
	// RaftAddr is the address of a separate listener for other nodes.
	RaftAddr string
	// AdvertiseAddr is what other nodes and clients dial.
	AdvertiseAddr string
	// JoinAddr is a member to join through, or several, separated by commas. With KnownNodes it is the option join_addrs.
	JoinAddr string
	// KnownNodes are more members to join through.
	KnownNodes []string
	// JoinTimeout is how long a node tries to join before its start fails.
	JoinTimeout time.Duration
	// Bootstrap says that this node may found a cluster. Not set, it may where there is nobody to join and no state.
	Bootstrap bool
	// BootstrapExpect is how many nodes, all configured alike, found a cluster together.
	BootstrapExpect int
	// ClusterName is the cluster's name. It may be given here or in Config.
	ClusterName string
	// PartitionCount is how many partitions a new cluster has. It may be given here or in Config.
	PartitionCount int
	// ReplicationFactor is how many nodes hold each partition. It may be given here or in Config.
	ReplicationFactor int
	// Config has the three as one.
	Config *Config
	// DataDir is where the node keeps its state. Not set: ./clusterkit-data.
	DataDir string
	// InMemory keeps the state in memory, where it is lost on exit: an empty data_dir.
	InMemory bool
	// SyncInterval is how often the node sends a heartbeat to the leader, which renews its lease.
	SyncInterval time.Duration
	// LeaseTTL is how long a node may act as primary without contact with the leader.
	LeaseTTL time.Duration
	// HealthCheck is how silent nodes are found. It is on unless it is disabled.
	HealthCheck HealthCheckConfig
	// RebalanceDelay is how long a failed node may stay away before its copies are replaced on other nodes.
	RebalanceDelay time.Duration
	// MigrationTimeout is how long copying one partition may take before it is planned again.
	MigrationTimeout time.Duration
	// MaxConcurrentMigrations is how many partitions one node copies at a time.
	MaxConcurrentMigrations int
	// MaxClusterMigrations is how many partitions all nodes together copy at a time.
	MaxClusterMigrations int
	// Timing is the profile of Raft's timings: "lan", "fast" or "wan".
	Timing string
	// TimingHeartbeat, TimingElectionMin and TimingElectionMax are single values of it: timing.heartbeat and so on.
	TimingHeartbeat, TimingElectionMin, TimingElectionMax time.Duration
	// MaxVoters is the maximum number of voters; the other members are learners.
	MaxVoters int
	// Services are where the application's own services on this node are found: name to ":port" (the node's own host) or
	// "host:port".
	Services map[string]string
	// Labels are free-form, and other nodes can read them.
	Labels map[string]string
	// Weight is this node's share of the partitions relative to other nodes: 100 is usual.
	Weight int
	// Zone is the failure zone that this node is in.
	Zone string
	// HookConcurrency is how many hooks for partition changes run at a time.
	HookConcurrency int
	// RuntimeThreads is the number of threads that all nodes of the process share.
	RuntimeThreads int
	// ClusterSecret is the secret that all members share: 43 to 1024 characters, which clusterkit secret makes. During a change of it
	// two, separated by a comma: the new one and the one before. It is never shown.
	ClusterSecret Secret
	// ClusterSecretFile is a file with what ClusterSecret would be. It is read again when it changes.
	ClusterSecretFile string
	// TLS names the files by which members and clients prove who they are.
	TLS TLSConfig
	// Insecure says that a node without a secret and certificates may listen beyond loopback, where it obeys whoever reaches its port.
	Insecure bool
	// SecurityRollout says that members and clients without a proof are accepted as well, while the members of a running cluster are
	// given a secret or certificates one after the other.
	SecurityRollout bool
	// AllowedCIDRs are the networks in which the addresses of members may be: "10.0.0.0/8". Without any, everywhere.
	AllowedCIDRs []string
	// ReservedDataPrefix is what the keys of custom data begin with that only members write.
	ReservedDataPrefix string
	// LogLevel is the least severe level that reaches Logger: "off", "error", "warn", "info", "debug" or "trace".
	LogLevel string
	// Logger is where messages for people go. nil drops them.
	Logger Logger
	// Extra sets options by their names, those that have no field too. One that a field sets as well is refused.
	Extra map[string]string
}

// Secret is a text that is not printed: fmt and loggers that use it show "(hidden)".
type Secret string

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the text.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// TLSConfig names PEM files. All three are set, or none; they are read again when they change.
type TLSConfig struct {
	// Cert has the node's certificate and what leads from it to CA: the option tls.cert.
	Cert string
	// Key has the private key of Cert: tls.key.
	Key string
	// CA has the certificates of the authority that signs those of members and clients: tls.ca.
	CA string
}

// HealthCheckConfig is how silent nodes are found. The zero value is the default: it is on.
type HealthCheckConfig struct {
	// Enabled is for those who like to say so; it is on without it.
	Enabled bool
	// Disabled turns it off: then nobody takes over from a node that fails.
	Disabled bool
	// Interval is how often the leader checks for silent nodes. A node is failed after Interval x FailureThreshold.
	Interval time.Duration
	// Timeout is how long one heartbeat waits for the leader's answer before it is tried again.
	Timeout time.Duration
	// FailureThreshold is after how many intervals without a heartbeat a node is failed.
	FailureThreshold int
}

// optionSetter is an [OptionSet] or a [ClientOptionSet].
type optionSetter interface {
	Set(name, value string) error
}

// optionWriter sets what fields name, and keeps the first error.
type optionWriter struct {
	set   optionSetter
	given map[string]bool
	err   error
}

func (w *optionWriter) put(name, value string) {
	if w.err != nil {
		return
	}
	w.given[name] = true
	w.err = w.set.Set(name, value)
}

func (w *optionWriter) refuse(format string, args ...any) {
	if w.err == nil {
		w.err = invalidOption(fmt.Sprintf(format, args...))
	}
}

func (w *optionWriter) text(name, value string) {
	if value != "" {
		w.put(name, value)
	}
}

func (w *optionWriter) number(name string, value int) {
	if value != 0 {
		w.put(name, strconv.Itoa(value))
	}
}

func (w *optionWriter) flag(name string, value bool) {
	if value {
		w.put(name, "true")
	}
}

func (w *optionWriter) duration(name string, value time.Duration) {
	if value == 0 {
		return
	}
	if value%time.Millisecond != 0 {
		w.refuse("option %s: %v is no whole number of milliseconds", name, value)
		return
	}
	w.put(name, strconv.FormatInt(value.Milliseconds(), 10))
}

func (w *optionWriter) entries(name string, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if values[key] == "" {
			// An empty value would unset an entry, which is none that somebody writes down.
			w.refuse("option %s.%s: the value is empty", name, key)
			return
		}
		w.put(name+"."+key, values[key])
	}
	w.given[name] = w.given[name] || len(values) > 0
}

// extra sets what Extra has.
func (w *optionWriter) extra(values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if w.given[name] {
			w.refuse("option %s: it is set by a field and in Extra", name)
		}
		w.put(name, values[name])
	}
}

// OptionSet has the options by their names.
//
// Errors: INVALID_OPTION for what a field says that is malformed, out of bounds, or contradicts another field. What is missing
// [OptionSet.Validate] says.
func (o Options) OptionSet() (*OptionSet, error) {
	set, err := NewOptionSet()
	if err != nil {
		return nil, err
	}
	w := &optionWriter{set: set, given: map[string]bool{}}
	w.text("node_id", o.NodeID)
	w.text("node_name", o.NodeName)
	w.text("http_addr", o.HTTPAddr)
	w.text("raft_addr", o.RaftAddr)
	w.text("advertise_addr", o.AdvertiseAddr)
	w.text("join_addrs", o.joinAddrs())
	w.duration("join_timeout", o.JoinTimeout)
	w.flag("bootstrap", o.Bootstrap)
	w.number("bootstrap_expect", o.BootstrapExpect)
	o.writeConfig(w)
	if o.InMemory && o.DataDir != "" {
		w.refuse("option data_dir: InMemory contradicts the DataDir %q", o.DataDir)
	}
	if o.InMemory {
		w.put("data_dir", "")
	}
	w.text("data_dir", o.DataDir)
	w.duration("sync_interval", o.SyncInterval)
	w.duration("lease_ttl", o.LeaseTTL)
	o.HealthCheck.write(w)
	w.duration("rebalance_delay", o.RebalanceDelay)
	w.duration("migration_timeout", o.MigrationTimeout)
	w.number("max_concurrent_migrations", o.MaxConcurrentMigrations)
	w.number("max_cluster_migrations", o.MaxClusterMigrations)
	w.text("timing", o.Timing)
	w.duration("timing.heartbeat", o.TimingHeartbeat)
	w.duration("timing.election_min", o.TimingElectionMin)
	w.duration("timing.election_max", o.TimingElectionMax)
	w.number("max_voters", o.MaxVoters)
	w.entries("services", o.Services)
	w.number("weight", o.Weight)
	w.text("zone", o.Zone)
	w.entries("labels", o.Labels)
	w.number("hook_concurrency", o.HookConcurrency)
	w.number("runtime_threads", o.RuntimeThreads)
	w.text("cluster_secret", string(o.ClusterSecret))
	w.text("cluster_secret_file", o.ClusterSecretFile)
	w.text("tls.cert", o.TLS.Cert)
	w.text("tls.key", o.TLS.Key)
	w.text("tls.ca", o.TLS.CA)
	w.flag("insecure", o.Insecure)
	w.flag("security_rollout", o.SecurityRollout)
	w.text("allowed_cidrs", strings.Join(o.AllowedCIDRs, ","))
	w.text("reserved_data_prefix", o.ReservedDataPrefix)
	w.text("log_level", o.LogLevel)
	w.extra(o.Extra)
	if w.err != nil {
		return nil, w.err
	}
	return set, nil
}

// joinAddrs are JoinAddr and KnownNodes, each once.
func (o Options) joinAddrs() string {
	var all []string
	if o.JoinAddr != "" {
		all = strings.Split(o.JoinAddr, ",")
	}
	seen := map[string]bool{}
	var addresses []string
	for _, address := range append(all, o.KnownNodes...) {
		if address = strings.TrimSpace(address); !seen[address] {
			seen[address] = true
			addresses = append(addresses, address)
		}
	}
	return strings.Join(addresses, ",")
}

// writeConfig writes what may be given in two places.
func (o Options) writeConfig(w *optionWriter) {
	config := Config{}
	if o.Config != nil {
		config = *o.Config
	}
	name, count, factor := o.ClusterName, o.PartitionCount, o.ReplicationFactor
	if name != "" && config.ClusterName != "" && name != config.ClusterName {
		w.refuse("option cluster_name: ClusterName is %q, and %q in Config", name, config.ClusterName)
	}
	if count != 0 && config.PartitionCount != 0 && count != config.PartitionCount {
		w.refuse("option partition_count: PartitionCount is %d, and %d in Config", count, config.PartitionCount)
	}
	if factor != 0 && config.ReplicationFactor != 0 && factor != config.ReplicationFactor {
		w.refuse("option replication_factor: ReplicationFactor is %d, and %d in Config", factor, config.ReplicationFactor)
	}
	w.text("cluster_name", cmp.Or(name, config.ClusterName))
	w.number("partition_count", cmp.Or(count, config.PartitionCount))
	w.number("replication_factor", cmp.Or(factor, config.ReplicationFactor))
}

func (h HealthCheckConfig) write(w *optionWriter) {
	if h.Enabled && h.Disabled {
		w.refuse("option health_check.enabled: HealthCheck is Enabled and Disabled")
	}
	if h.Enabled || h.Disabled {
		w.put("health_check.enabled", strconv.FormatBool(h.Enabled))
	}
	w.duration("health_check.interval", h.Interval)
	w.duration("health_check.timeout", h.Timeout)
	w.number("health_check.failure_threshold", h.FailureThreshold)
}
