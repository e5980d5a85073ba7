package clusterkit

// #include "glue.h"
import "C"

import (
	"runtime"
	"strings"
	"time"
)

// OptionSet has options by their names, as files, flags and the environment give them. [Options] is the form for code. Any
// number of goroutines may use it.
type OptionSet struct{ c *C.ck_options_t }

// NewOptionSet has every default. node_id and http_addr have none and must be set.
func NewOptionSet() (*OptionSet, error) {
	var c *C.ck_options_t
	if failed := C.ck_options_new(&c); failed != nil {
		return nil, takeError(failed)
	}
	set := &OptionSet{c}
	freeWith(set, c, func(c *C.ck_options_t) { C.ck_options_free(c) })
	return set, nil
}

// Set sets an option by its name, from its text form: "5s", "true", "64", "10.0.0.1:8080,10.0.0.2:8080". "services.NAME" and
// "labels.NAME" set one entry. An empty value unsets what may be unset. On failure nothing changes.
//
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name (the message suggests the nearest) and a value that is malformed
// or out of bounds.
func (o *OptionSet) Set(name, value string) error {
	defer runtime.KeepAlive(o)
	stress()
	first, firstLen := textOf(name)
	second, secondLen := textOf(value)
	return takeError(C.ck_options_set(o.c, first, firstLen, second, secondLen))
}

// Get is the value of an option in its text form: what was set, or else the default where that is one value. Empty where
// nothing is set and the default is derived from other options or is none.
//
// Errors: INVALID_OPTION for an unknown name.
func (o *OptionSet) Get(name string) (string, error) {
	defer runtime.KeepAlive(o)
	stress()
	text, length := textOf(name)
	var out *C.ck_text_t
	if failed := C.ck_options_get(o.c, text, length, &out); failed != nil {
		return "", takeError(failed)
	}
	return takeText(out), nil
}

// LoadJSON sets what a JSON object names and leaves the rest. Names are those of docs/options.md, groups as objects or with
// dots. On failure nothing changes.
//
// Errors: INVALID_ARGUMENT, INVALID_OPTION.
func (o *OptionSet) LoadJSON(json string) error {
	defer runtime.KeepAlive(o)
	stress()
	text, length := textOf(json)
	return takeError(C.ck_options_load_json(o.c, text, length))
}

// LoadFile sets what a JSON file names and leaves the rest, as [OptionSet.LoadJSON].
//
// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the file cannot be read.
func (o *OptionSet) LoadFile(path string) error {
	defer runtime.KeepAlive(o)
	stress()
	text, length := textOf(path)
	return takeError(C.ck_options_load_file(o.c, text, length))
}

// LoadEnv sets what environment variables name and leaves the rest: CLUSTERKIT_NODE_ID and so on; docs/options.md lists them.
// On failure nothing changes. No other goroutine may change the environment meanwhile.
//
// Errors: INVALID_OPTION, which names the variable.
func (o *OptionSet) LoadEnv() error {
	defer runtime.KeepAlive(o)
	stress()
	return takeError(C.ck_options_load_env(o.c))
}

// Validate checks the options as [NewFromOptionSet] does: that what is required is set, and that no two contradict each other.
//
// Errors: INVALID_OPTION.
func (o *OptionSet) Validate() error {
	defer runtime.KeepAlive(o)
	stress()
	return takeError(C.ck_options_validate(o.c))
}

// Effective is what the options come to, as a JSON object: every option by its name, with the value that a node would use in
// its text form, derived ones included. Empty where there is none, and where only the running node knows it.
//
// Errors: INVALID_OPTION as [OptionSet.Validate].
func (o *OptionSet) Effective() ([]byte, error) {
	defer runtime.KeepAlive(o)
	stress()
	var out *C.ck_text_t
	if failed := C.ck_options_effective(o.c, &out); failed != nil {
		return nil, takeError(failed)
	}
	return []byte(takeText(out)), nil
}

// OptionSpec describes an option: one row of docs/options.md.
type OptionSpec struct {
	// Name is what [OptionSet.Set] takes.
	Name string
	// Type is one word: text, address, list, map, boolean, integer, duration or choice.
	Type string
	// Default is the value that applies when it is not set, or in words where that comes from. Empty where there is none.
	Default string
	// Bounds is what it accepts, in words, such as "1 to 65536".
	Bounds string
	// Env are the environment variables that set it; where several are set, the first counts.
	Env []string
	// Help is what it means, in a sentence or two.
	Help string
}

// OptionSpecs describe every option.
func OptionSpecs() []OptionSpec {
	specs := make([]OptionSpec, 0, C.ck_option_count())
	for index := range cap(specs) {
		i := C.size_t(index)
		specs = append(specs, OptionSpec{
			Name:    C.GoString(C.ck_option_name(i)),
			Type:    C.GoString(C.ck_option_type(i)),
			Default: C.GoString(C.ck_option_default(i)),
			Bounds:  C.GoString(C.ck_option_bounds(i)),
			Env:     strings.Fields(C.GoString(C.ck_option_env(i))),
			Help:    C.GoString(C.ck_option_help(i)),
		})
	}
	return specs
}

// ParseDuration reads a duration as options are written: "5s", "500ms", "1m30s", or a number of milliseconds.
//
// Errors: INVALID_ARGUMENT.
func ParseDuration(text string) (time.Duration, error) {
	first, length := textOf(text)
	var ms C.uint64_t
	if failed := C.ck_parse_duration(first, length, &ms); failed != nil {
		return 0, takeError(failed)
	}
	return durationOf(ms), nil
}
