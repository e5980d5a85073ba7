package clustertest

// #include "callbacks.h"
import "C"

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// Cut loses all messages between two nodes, in both directions.
//
// Errors: NOT_FOUND.
func (c *Cluster) Cut(one, other int) error {
	return c.at(one, func(testing *C.ck_testing_t, one C.size_t) *C.ck_error_t {
		return C.ck_testing_cut(testing, one, C.size_t(other))
	})
}

// CutOneWay loses all messages from one node to another, answers of that direction included.
//
// Errors: NOT_FOUND.
func (c *Cluster) CutOneWay(from, to int) error {
	return c.at(from, func(testing *C.ck_testing_t, from C.size_t) *C.ck_error_t {
		return C.ck_testing_cut_one_way(testing, from, C.size_t(to))
	})
}

// Restore ends the cuts between two nodes, in both directions. An isolation stays.
//
// Errors: NOT_FOUND.
func (c *Cluster) Restore(one, other int) error {
	return c.at(one, func(testing *C.ck_testing_t, one C.size_t) *C.ck_error_t {
		return C.ck_testing_restore(testing, one, C.size_t(other))
	})
}

// Isolate cuts a node off from all others, also from those that are added later, until [Cluster.Heal].
//
// Errors: NOT_FOUND.
func (c *Cluster) Isolate(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t {
		return C.ck_testing_isolate(testing, index)
	})
}

// Split divides the nodes: those that are named lose all messages to and from those that are not, until [Cluster.Heal].
//
// Errors: NOT_FOUND, and nothing is cut then.
func (c *Cluster) Split(indexes ...int) error {
	defer runtime.KeepAlive(c)
	side := make([]C.size_t, len(indexes))
	for i, index := range indexes {
		side[i] = C.size_t(index)
	}
	return c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		return C.ck_testing_split(testing, unsafe.SliceData(side), C.size_t(len(side)))
	})
}

// LinkFaults are the conditions of a link. The zero value is a good one.
type LinkFaults struct {
	// Delay is how long each message takes, in whole milliseconds.
	Delay time.Duration
	// LostPerThousand is how many of a thousand messages are lost. They are sent again and arrive 200 ms later, as over TCP.
	LostPerThousand int
}

// SetLink sets the conditions of the link from one node to another, until [Cluster.Heal].
//
// Errors: INVALID_ARGUMENT, NOT_FOUND.
func (c *Cluster) SetLink(from, to int, faults LinkFaults) error {
	delay, err := exactly("the delay", faults.Delay)
	if err != nil {
		return err
	}
	if faults.LostPerThousand < 0 || faults.LostPerThousand > 1000 {
		message := fmt.Sprintf("of a thousand messages %d are to be lost: 0 to 1000 can be", faults.LostPerThousand)
		return &clusterkit.Error{Code: clusterkit.CodeInvalidArgument, Message: message}
	}
	return c.at(from, func(testing *C.ck_testing_t, from C.size_t) *C.ck_error_t {
		return C.ck_testing_set_link(testing, from, C.size_t(to), delay, C.uint32_t(faults.LostPerThousand))
	})
}

// Heal mends the network: no cut, no isolation, no fault of a link is left. Paused nodes stay paused, disks as they are.
//
// Errors: STOPPED after Close.
func (c *Cluster) Heal() error {
	defer runtime.KeepAlive(c)
	return c.with(func(testing *C.ck_testing_t) *C.ck_error_t { return C.ck_testing_heal(testing) })
}

// DiskFault is how a disk fails.
type DiskFault int32

// The faults.
const (
	// DiskFull: nothing more can be written, the disk is full.
	DiskFull DiskFault = C.CK_TESTING_DISK_FULL
	// DiskReadOnly: nothing more can be written, the disk has turned read-only.
	DiskReadOnly DiskFault = C.CK_TESTING_DISK_READ_ONLY
	// DiskSyncFails: writes that should have become durable have not, the next sync fails.
	DiskSyncFails DiskFault = C.CK_TESTING_DISK_SYNC_FAILS
	// DiskHangs: writes do not return until the disk is mended.
	DiskHangs DiskFault = C.CK_TESTING_DISK_HANGS
)

// FailDisk lets the disk of a node fail from now on, until [Cluster.MendDisk] or the node's next process. A node whose log cannot be
// written leaves its leadership and its roles to others, and has to be restarted.
//
// Errors: INVALID_ARGUMENT, NOT_FOUND.
func (c *Cluster) FailDisk(index int, fault DiskFault) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t {
		return C.ck_testing_fail_disk(testing, index, C.int32_t(fault))
	})
}

// MendDisk mends the disk of a node. A node whose log has failed has to be restarted all the same.
//
// Errors: NOT_FOUND.
func (c *Cluster) MendDisk(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t {
		return C.ck_testing_mend_disk(testing, index)
	})
}
