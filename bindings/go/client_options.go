package clusterkit

// #include "glue.h"
import "C"

import (
	"runtime"
	"strings"
	"time"
)

// ClientOptions are what a client is made with. Only Addrs is required; a field that is zero is not set, and the default applies:
// docs/client.md has it, with the bounds, by the option's name, which is the field's in snake_case unless its comment says another.
//
// A value that is zero in earnest (an update_interval of 0s) is given in Extra.
type ClientOptions struct {
	// Addrs are addresses of members, "host:port". One that answers is enough, and a DNS name may have several records. Required.
	Addrs []string
	// ClusterName is the name that the cluster must have. Without it the cluster of the first answer is followed.
	ClusterName string
	// Token is what clusterkit token has made for this client. It is needed where the cluster has a secret, and is never shown.
	Token Secret
	// GivenAddrsOnly leaves out the addresses that members advertise, where they cannot be dialled from here: member_addrs is false.
	GivenAddrsOnly bool
	// PollTimeout is how long a member may hold a poll while nothing changes. One that is cut off is noticed after so long.
	PollTimeout time.Duration
	// UpdateInterval is the shortest time between two answers that are asked for while the cluster keeps changing.
	UpdateInterval time.Duration
	// ConnectTimeout is how long a name may take to be looked up, and then a connection to be made.
	ConnectTimeout time.Duration
	// RequestTimeout is how long an answer may take, beyond what the member was asked to wait.
	RequestTimeout time.Duration
	// RetryMin is the first pause after an address has failed, which doubles with each further failure; RetryMax is the longest.
	RetryMin, RetryMax time.Duration
	// MaxResponseBytes is the longest answer that is read.
	MaxResponseBytes int
	// TLSCA is a PEM file with the authority of the members' certificates: tls_ca. With it the client speaks TLS.
	TLSCA string
	// TLSCert and TLSKey are PEM files with the client's own certificate and its private key: tls_cert and tls_key.
	TLSCert, TLSKey string
	// Insecure speaks TLS with whoever answers, without any verification.
	Insecure bool
	// LogLevel is the least severe level that reaches Logger: "off", "error", "warn", "info", "debug" or "trace".
	LogLevel string
	// Logger is where messages for people go. nil drops them.
	Logger Logger
	// Extra sets options by their names, those that have no field too. One that a field sets as well is refused.
	Extra map[string]string
}

// OptionSet has the options by their names.
//
// Errors: INVALID_OPTION for what a field says that is malformed or out of bounds. What is missing [ClientOptionSet.Validate]
// says.
func (o ClientOptions) OptionSet() (*ClientOptionSet, error) {
	set, err := NewClientOptionSet()
	if err != nil {
		return nil, err
	}
	w := &optionWriter{set: set, given: map[string]bool{}}
	w.text("addrs", strings.Join(o.Addrs, ","))
	w.text("cluster_name", o.ClusterName)
	w.text("token", string(o.Token))
	if o.GivenAddrsOnly {
		w.put("member_addrs", "false")
	}
	w.duration("poll_timeout", o.PollTimeout)
	w.duration("update_interval", o.UpdateInterval)
	w.duration("connect_timeout", o.ConnectTimeout)
	w.duration("request_timeout", o.RequestTimeout)
	w.duration("retry_min", o.RetryMin)
	w.duration("retry_max", o.RetryMax)
	w.number("max_response_bytes", o.MaxResponseBytes)
	w.text("tls_ca", o.TLSCA)
	w.text("tls_cert", o.TLSCert)
	w.text("tls_key", o.TLSKey)
	if o.Insecure {
		w.put("insecure", "true")
	}
	w.text("log_level", o.LogLevel)
	w.extra(o.Extra)
	if w.err != nil {
		return nil, w.err
	}
	return set, nil
}

// ClientOptionSet has options of a client by their names, as files and flags give them. [ClientOptions] is the form for code. Any
// number of goroutines may use it.
type ClientOptionSet struct{ c *C.ck_client_options_t }

// NewClientOptionSet has every default. addrs has none and must be set.
func NewClientOptionSet() (*ClientOptionSet, error) {
	if err := checkLibrary(); err != nil {
		return nil, err
	}
	var c *C.ck_client_options_t
	if failed := C.ck_client_options_new(&c); failed != nil {
		return nil, takeError(failed)
	}
	set := &ClientOptionSet{c}
	freeWith(set, c, func(c *C.ck_client_options_t) { C.ck_client_options_free(c) })
	return set, nil
}

// Set sets an option by its name, from its text form: "10.0.0.1:8080,10.0.0.2:8080", "5s", "false". An empty value unsets what
// may be unset. On failure nothing changes.
//
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name and a value that is malformed or out of bounds.
func (o *ClientOptionSet) Set(name, value string) error {
	defer runtime.KeepAlive(o)
	stress()
	first, firstLen := textOf(name)
	second, secondLen := textOf(value)
	return takeError(C.ck_client_options_set(o.c, first, firstLen, second, secondLen))
}

// Get is the value of an option in its text form. Empty where nothing is set.
//
// Errors: INVALID_OPTION for an unknown name.
func (o *ClientOptionSet) Get(name string) (string, error) {
	defer runtime.KeepAlive(o)
	stress()
	text, length := textOf(name)
	var out *C.ck_text_t
	if failed := C.ck_client_options_get(o.c, text, length, &out); failed != nil {
		return "", takeError(failed)
	}
	return takeText(out), nil
}

// LoadJSON sets what a JSON object names and leaves the rest: durations are text or a number of milliseconds, addrs is text or an
// array. On failure nothing changes.
//
// Errors: INVALID_ARGUMENT, INVALID_OPTION.
func (o *ClientOptionSet) LoadJSON(json string) error {
	defer runtime.KeepAlive(o)
	stress()
	text, length := textOf(json)
	return takeError(C.ck_client_options_load_json(o.c, text, length))
}

// Validate checks the options as [NewClientFromOptionSet] does.
//
// Errors: INVALID_OPTION.
func (o *ClientOptionSet) Validate() error {
	defer runtime.KeepAlive(o)
	stress()
	return takeError(C.ck_client_options_validate(o.c))
}

// ClientOptionSpecs describe every option of a client: the table of docs/client.md. No environment variable sets one.
func ClientOptionSpecs() []OptionSpec {
	specs := make([]OptionSpec, 0, C.ck_client_option_count())
	for index := range cap(specs) {
		i := C.size_t(index)
		specs = append(specs, OptionSpec{
			Name:    C.GoString(C.ck_client_option_name(i)),
			Type:    C.GoString(C.ck_client_option_type(i)),
			Default: C.GoString(C.ck_client_option_default(i)),
			Bounds:  C.GoString(C.ck_client_option_bounds(i)),
			Help:    C.GoString(C.ck_client_option_help(i)),
		})
	}
	return specs
}
