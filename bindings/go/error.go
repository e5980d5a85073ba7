package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"strconv"
)

// Code says what went wrong, in every language by the same name and number. Codes are never reused; a later library may
// have more.
type Code int32

// The codes. docs/http.md has a sentence about each.
const (
	CodeInvalidArgument Code = C.CK_ERROR_INVALID_ARGUMENT
	CodeInvalidOption   Code = C.CK_ERROR_INVALID_OPTION
	CodeNotStarted      Code = C.CK_ERROR_NOT_STARTED
	CodeAlreadyStarted  Code = C.CK_ERROR_ALREADY_STARTED
	CodeStopped         Code = C.CK_ERROR_STOPPED
	CodeTimeout         Code = C.CK_ERROR_TIMEOUT
	CodeNoLeader        Code = C.CK_ERROR_NO_LEADER
	CodeNotLeader       Code = C.CK_ERROR_NOT_LEADER
	CodeLeaseExpired    Code = C.CK_ERROR_LEASE_EXPIRED
	CodeNotFound        Code = C.CK_ERROR_NOT_FOUND
	CodeAlreadyExists   Code = C.CK_ERROR_ALREADY_EXISTS
	CodeConflict        Code = C.CK_ERROR_CONFLICT
	CodeJoinRefused     Code = C.CK_ERROR_JOIN_REFUSED
	CodeJoinFailed      Code = C.CK_ERROR_JOIN_FAILED
	CodeIO              Code = C.CK_ERROR_IO
	CodeCorrupt         Code = C.CK_ERROR_CORRUPT
	CodeDataDirInUse    Code = C.CK_ERROR_DATA_DIR_IN_USE
	CodeAddressInUse    Code = C.CK_ERROR_ADDRESS_IN_USE
	CodeWrongCluster    Code = C.CK_ERROR_WRONG_CLUSTER
	CodeDuplicateNode   Code = C.CK_ERROR_DUPLICATE_NODE
	CodeClusterMismatch Code = C.CK_ERROR_CLUSTER_MISMATCH
	CodeTooLarge        Code = C.CK_ERROR_TOO_LARGE
	CodeUnauthenticated Code = C.CK_ERROR_UNAUTHENTICATED
	CodeInHook          Code = C.CK_ERROR_IN_HOOK
	CodeForked          Code = C.CK_ERROR_FORKED
	CodeUnreachable     Code = C.CK_ERROR_UNREACHABLE
	CodeRemoved         Code = C.CK_ERROR_REMOVED
	CodeRefused         Code = C.CK_ERROR_REFUSED
	CodeBusy            Code = C.CK_ERROR_BUSY
	CodeVersion         Code = C.CK_ERROR_VERSION
	CodeInternal        Code = C.CK_ERROR_INTERNAL
)

// String is the code's name, such as "NO_LEADER".
func (c Code) String() string {
	if name := C.ck_error_code_name(C.int32_t(c)); name != nil {
		return C.GoString(name)
	}
	return "CODE_" + strconv.Itoa(int(c))
}

// Error is why a call failed. Every error of this package is one, except those of a context. Compare it by errors.Is with
// [ErrNoLeader] and its like, or look at its code by errors.As.
type Error struct {
	// Code says what went wrong.
	Code Code
	// Message is for people: what was wrong, the value, what would be right. It may change between versions.
	Message string
	// Retriable is true when the same call may succeed later without the caller changing anything.
	Retriable bool
	// Ambiguous is true when the call may have had its effect all the same: a write may or may not have happened. After every
	// other error of a write it has not.
	Ambiguous bool
}

// Error is the code's name and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return "clusterkit: " + e.Code.String()
	}
	return "clusterkit: " + e.Code.String() + ": " + e.Message
}

// Is makes errors.Is compare codes with the errors of this package that have no message, such as [ErrNoLeader]. An error with
// the code TIMEOUT is context.DeadlineExceeded, too: whether the library or the context noticed first is chance.
func (e *Error) Is(target error) bool {
	if target == context.DeadlineExceeded {
		return e.Code == CodeTimeout
	}
	other, ok := target.(*Error)
	return ok && other.Message == "" && other.Code == e.Code
}

// Timeout is true when time ran out: programs ask errors of any package so.
func (e *Error) Timeout() bool { return e.Code == CodeTimeout }

// Temporary is the same as Retriable, for programs that ask errors of any package so.
func (e *Error) Temporary() bool { return e.Retriable }

// One error for each code, for errors.Is.
var (
	ErrInvalidArgument error = &Error{Code: CodeInvalidArgument}
	ErrInvalidOption   error = &Error{Code: CodeInvalidOption}
	ErrNotStarted      error = &Error{Code: CodeNotStarted}
	ErrAlreadyStarted  error = &Error{Code: CodeAlreadyStarted}
	ErrStopped         error = &Error{Code: CodeStopped}
	ErrTimeout         error = &Error{Code: CodeTimeout}
	ErrNoLeader        error = &Error{Code: CodeNoLeader}
	ErrNotLeader       error = &Error{Code: CodeNotLeader}
	ErrLeaseExpired    error = &Error{Code: CodeLeaseExpired}
	ErrNotFound        error = &Error{Code: CodeNotFound}
	ErrAlreadyExists   error = &Error{Code: CodeAlreadyExists}
	ErrConflict        error = &Error{Code: CodeConflict}
	ErrJoinRefused     error = &Error{Code: CodeJoinRefused}
	ErrJoinFailed      error = &Error{Code: CodeJoinFailed}
	ErrIO              error = &Error{Code: CodeIO}
	ErrCorrupt         error = &Error{Code: CodeCorrupt}
	ErrDataDirInUse    error = &Error{Code: CodeDataDirInUse}
	ErrAddressInUse    error = &Error{Code: CodeAddressInUse}
	ErrWrongCluster    error = &Error{Code: CodeWrongCluster}
	ErrDuplicateNode   error = &Error{Code: CodeDuplicateNode}
	ErrClusterMismatch error = &Error{Code: CodeClusterMismatch}
	ErrTooLarge        error = &Error{Code: CodeTooLarge}
	ErrUnauthenticated error = &Error{Code: CodeUnauthenticated}
	ErrInHook          error = &Error{Code: CodeInHook}
	ErrForked          error = &Error{Code: CodeForked}
	ErrUnreachable     error = &Error{Code: CodeUnreachable}
	ErrRemoved         error = &Error{Code: CodeRemoved}
	ErrRefused         error = &Error{Code: CodeRefused}
	ErrBusy            error = &Error{Code: CodeBusy}
	ErrVersion         error = &Error{Code: CodeVersion}
	ErrInternal        error = &Error{Code: CodeInternal}
)

// takeError reads an error of C's and frees it; nil for NULL.
func takeError(failed *C.ck_error_t) error {
	if failed == nil {
		return nil
	}
	defer C.ck_error_free(failed)
	return readError(failed)
}

// readError copies an error that stays C's.
func readError(failed *C.ck_error_t) error {
	return &Error{
		Code:      Code(C.ck_error_code(failed)),
		Message:   C.GoStringN(C.ck_error_message(failed), C.int(C.ck_error_message_len(failed))),
		Retriable: bool(C.ck_error_is_retriable(failed)),
		Ambiguous: bool(C.ck_error_is_ambiguous(failed)),
	}
}

func invalidArgument(message string) error {
	return &Error{Code: CodeInvalidArgument, Message: message}
}

func invalidOption(message string) error {
	return &Error{Code: CodeInvalidOption, Message: message}
}
