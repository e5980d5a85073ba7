package clustertest_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
	"github.com/clusterkit/clusterkit-go/clustertest"
)

// The conformance scripts of the repository: tests/conformance/README.md says what their commands do.
const scripts = "../../../tests/conformance/scripts/*.txt"

// copies are what a copying hook of a node has done.
type copies struct {
	mu                     sync.Mutex
	partitions             map[int]bool
	failures, failuresLeft int
}

// conformance is what the commands of a script work on.
type conformance struct {
	t       testing.TB
	cluster *clustertest.Cluster
	alone   *clusterkit.ClusterKit
	client  *clusterkit.Client
	// The revision of the last write.
	last    uint64
	watched map[string]*clusterkit.EventQueue
	copies  map[string]*copies
	answers map[string]chan string
}

func decoded(t testing.TB, word string) string {
	if word == "-" {
		return ""
	}
	text, err := url.PathUnescape(word)
	must(t, err)
	return text
}

func encoded(text string) string {
	if text == "" {
		return "-"
	}
	var word strings.Builder
	for _, b := range []byte(text) {
		if b > ' ' && b <= '~' && b != '%' {
			word.WriteByte(b)
		} else {
			fmt.Fprintf(&word, "%%%02X", b)
		}
	}
	return word.String()
}

func number(t testing.TB, word string) int {
	n, err := strconv.Atoi(word)
	must(t, err)
	return n
}

// said is what a failed call prints.
func said(err error) string { return strings.TrimPrefix(err.Error(), "clusterkit: ") }

func lines(of []string) string {
	slices.Sort(of)
	return strings.Join(of, "\n")
}

func members(view *clusterkit.View) string {
	var of []string
	for node := range view.Nodes() {
		of = append(of, node.ID+" "+node.Status)
	}
	return lines(of)
}

func described(event *clusterkit.Event) string {
	switch {
	case event.NodeJoin != nil:
		return "node_join " + event.NodeJoin.Node.ID
	case event.NodeRejoin != nil:
		return "node_rejoin " + event.NodeRejoin.Node.ID
	case event.NodeLeave != nil:
		return "node_leave " + event.NodeLeave.Node.ID + " " + event.NodeLeave.Reason
	}
	return event.Kind.String()
}

func row(t testing.TB, specs []clusterkit.OptionSpec, name string) string {
	index := slices.IndexFunc(specs, func(spec clusterkit.OptionSpec) bool { return spec.Name == name })
	if index < 0 {
		t.Fatalf("there is no option %s", name)
	}
	spec := specs[index]
	return fmt.Sprintf("%s, default %s, %s", spec.Type, cmp.Or(spec.Default, "-"), spec.Bounds)
}

// print is what a command line prints.
func (c *conformance) print(line string) string {
	words := strings.Fields(line)
	onlyCode := words[0] == "code"
	if onlyCode {
		words = words[1:]
	}
	answer, err := c.command(words)
	var failed *clusterkit.Error
	switch {
	case err == nil:
		return answer
	case onlyCode && errors.As(err, &failed):
		return failed.Code.String()
	}
	return said(err)
}

func TestEveryScriptPrintsWhatItSays(t *testing.T) {
	paths, err := filepath.Glob(scripts)
	must(t, err)
	if len(paths) == 0 {
		t.Fatal("there are no scripts")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			script, err := os.ReadFile(path)
			must(t, err)
			c := &conformance{
				t: t, watched: map[string]*clusterkit.EventQueue{}, copies: map[string]*copies{}, answers: map[string]chan string{},
			}
			var written strings.Builder
			for input := bufio.NewScanner(strings.NewReader(string(script))); input.Scan(); {
				line := input.Text()
				if command, ok := strings.CutPrefix(line, "> "); ok {
					fmt.Fprintf(&written, "%s\n%s\n", line, c.print(command))
				} else if line == "" || line[0] == '#' {
					fmt.Fprintln(&written, line)
				}
			}
			if written.String() != string(script) {
				t.Errorf("it prints\n%s", difference(string(script), written.String()))
			}
		})
	}
}

// difference is the first line that differs, after what stands before it.
func difference(script, written string) string {
	wanted := strings.Split(script, "\n")
	got := strings.Split(written, "\n")
	for i := range min(len(wanted), len(got)) {
		if wanted[i] != got[i] {
			return strings.Join(got[max(0, i-3):i+1], "\n") + "\ninstead of\n" + wanted[i]
		}
	}
	return fmt.Sprintf("%d lines instead of %d", len(got), len(wanted))
}
