package clusterkit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

var sentinels = map[string]error{
	"INVALID_ARGUMENT": clusterkit.ErrInvalidArgument,
	"INVALID_OPTION":   clusterkit.ErrInvalidOption,
	"NOT_STARTED":      clusterkit.ErrNotStarted,
	"ALREADY_STARTED":  clusterkit.ErrAlreadyStarted,
	"STOPPED":          clusterkit.ErrStopped,
	"TIMEOUT":          clusterkit.ErrTimeout,
	"NO_LEADER":        clusterkit.ErrNoLeader,
	"NOT_LEADER":       clusterkit.ErrNotLeader,
	"LEASE_EXPIRED":    clusterkit.ErrLeaseExpired,
	"NOT_FOUND":        clusterkit.ErrNotFound,
	"ALREADY_EXISTS":   clusterkit.ErrAlreadyExists,
	"CONFLICT":         clusterkit.ErrConflict,
	"JOIN_REFUSED":     clusterkit.ErrJoinRefused,
	"JOIN_FAILED":      clusterkit.ErrJoinFailed,
	"IO":               clusterkit.ErrIO,
	"CORRUPT":          clusterkit.ErrCorrupt,
	"DATA_DIR_IN_USE":  clusterkit.ErrDataDirInUse,
	"ADDRESS_IN_USE":   clusterkit.ErrAddressInUse,
	"WRONG_CLUSTER":    clusterkit.ErrWrongCluster,
	"DUPLICATE_NODE":   clusterkit.ErrDuplicateNode,
	"CLUSTER_MISMATCH": clusterkit.ErrClusterMismatch,
	"TOO_LARGE":        clusterkit.ErrTooLarge,
	"UNAUTHENTICATED":  clusterkit.ErrUnauthenticated,
	"IN_HOOK":          clusterkit.ErrInHook,
	"FORKED":           clusterkit.ErrForked,
	"UNREACHABLE":      clusterkit.ErrUnreachable,
	"REMOVED":          clusterkit.ErrRemoved,
	"REFUSED":          clusterkit.ErrRefused,
	"BUSY":             clusterkit.ErrBusy,
	"VERSION":          clusterkit.ErrVersion,
	"INTERNAL":         clusterkit.ErrInternal,
}

// Each code is one error for errors.Is, and no other.
func TestErrorsAreToldApart(t *testing.T) {
	for name, sentinel := range sentinels {
		code := sentinel.(*clusterkit.Error).Code
		if code.String() != name {
			t.Errorf("code %d is called %q in the library and %q here", code, code, name)
		}
		err := fmt.Errorf("while testing: %w", &clusterkit.Error{Code: code, Message: "some words"})
		for other, sentinel := range sentinels {
			if errors.Is(err, sentinel) != (other == name) {
				t.Errorf("errors.Is(%s, %s) is %v", name, other, other != name)
			}
		}
		if errors.Is(err, context.DeadlineExceeded) != (name == "TIMEOUT") {
			t.Errorf("%s and context.DeadlineExceeded", name)
		}
		var found *clusterkit.Error
		if !errors.As(err, &found) || found.Message != "some words" {
			t.Errorf("%s is not found by errors.As", name)
		}
		var network net.Error
		if !errors.As(err, &network) || network.Timeout() != (name == "TIMEOUT") {
			t.Errorf("%s says the wrong thing of time", name)
		}
	}
	// Errors with words are not equal to each other because of their codes.
	one, two := &clusterkit.Error{Code: clusterkit.CodeIO, Message: "one"}, &clusterkit.Error{Code: clusterkit.CodeIO, Message: "two"}
	if errors.Is(one, two) {
		t.Error("two errors of one code are one error")
	}
}

func TestErrorsAreThoseOfTheHeader(t *testing.T) {
	header := readFile(t, repository(t, "include/clusterkit.h"))
	found := regexp.MustCompile(`(?m)^#define CK_ERROR_(\w+) (\d+)$`).FindAllStringSubmatch(header, -1)
	if len(found) != len(sentinels) {
		t.Errorf("the header has %d codes, and there are %d here", len(found), len(sentinels))
	}
	for _, define := range found {
		sentinel, ok := sentinels[define[1]]
		if !ok {
			t.Errorf("%s is missing", define[1])
			continue
		}
		if code := sentinel.(*clusterkit.Error).Code; strconv.Itoa(int(code)) != define[2] {
			t.Errorf("%s is %d here and %s in the header", define[1], code, define[2])
		}
	}
}

func TestAnErrorHasWords(t *testing.T) {
	if text := clusterkit.ErrNoLeader.Error(); text != "clusterkit: NO_LEADER" {
		t.Error(text)
	}
	err := &clusterkit.Error{Code: clusterkit.CodeBusy, Message: "later", Retriable: true}
	if err.Error() != "clusterkit: BUSY: later" || !err.Temporary() || err.Timeout() {
		t.Error(err)
	}
	if text := clusterkit.Code(4711).String(); text != "CODE_4711" {
		t.Error(text)
	}
}

// What an error of the library says of itself comes through.
func TestErrorsSayWhatToDo(t *testing.T) {
	ck := made(t, "node-1")
	_, err := ck.GetPartition("key")
	is(t, err, clusterkit.ErrNotStarted)
	var found *clusterkit.Error
	if !errors.As(err, &found) || found.Message == "" || found.Ambiguous {
		t.Errorf("%+v", found)
	}
	must(t, ck.Start())
	err = ck.SetCustomData("", nil)
	is(t, err, clusterkit.ErrInvalidArgument)
	if errors.As(err, &found); found.Retriable || found.Ambiguous {
		t.Errorf("%+v", found)
	}
	is(t, ck.SetCustomData("key", make([]byte, 1<<20+1)), clusterkit.ErrTooLarge)
	is(t, ck.SetCustomData("\xff", nil), clusterkit.ErrInvalidArgument)
}
