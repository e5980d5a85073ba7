package clusterkit

// #cgo CFLAGS: -std=gnu11 -I${SRCDIR}/../../include
// #include "glue.h"
import "C"

import (
	"runtime"
	"runtime/cgo"
	"sync/atomic"
	"time"
	"unsafe"
)

// handles is how many values are kept for C. What leaks would show here.
var handles atomic.Int64

// keep gives C a number for a value of Go's, which is alive until it is released.
func keep(value any) cgo.Handle {
	handles.Add(1)
	return cgo.NewHandle(value)
}

// release lets go of a value that was kept for C.
func release(handle cgo.Handle) {
	handle.Delete()
	handles.Add(-1)
}

// owned is how many objects of C's end with the Go objects that own them. What leaks would show here.
var owned atomic.Int64

// freeWith frees an object of C's some time after its owner cannot be reached any more. free must not refer to the owner.
func freeWith[Owner, Object any](owner *Owner, object Object, free func(Object)) {
	owned.Add(1)
	runtime.AddCleanup(owner, func(object Object) {
		free(object)
		owned.Add(-1)
	}, object)
}

// textOf hands a text to C for one call. C must not keep it, and an empty text may have no address.
func textOf(text string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}

// bytesOf hands bytes to C for one call.
func bytesOf(bytes []byte) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.SliceData(bytes)), C.size_t(len(bytes))
}

// keyOf hands a key to C for one call.
func keyOf(key string) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.StringData(key)), C.size_t(len(key))
}

// takeText reads a text of C's and frees it.
func takeText(text *C.ck_text_t) string {
	if text == nil {
		return ""
	}
	defer C.ck_text_free(text)
	var length C.size_t
	data := C.ck_text_data(text, &length)
	return C.GoStringN(data, C.int(length))
}

// textsOf copies a list of C's texts.
func textsOf(texts **C.char, count C.size_t) []string {
	list := make([]string, 0, count)
	for _, text := range unsafe.Slice(texts, count) {
		list = append(list, C.GoString(text))
	}
	return list
}

// timeOf makes a time of C's milliseconds since 1970. 0, which stands for none, is the zero time.
func timeOf(ms C.uint64_t) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

// durationOf makes a duration of C's milliseconds.
func durationOf(ms C.uint64_t) time.Duration {
	const most = C.uint64_t(1<<63-1) / C.uint64_t(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// intsOf copies numbers of C's.
func intsOf(numbers *C.uint32_t, count C.size_t) []int {
	read := make([]int, 0, count)
	for _, number := range unsafe.Slice(numbers, count) {
		read = append(read, int(number))
	}
	return read
}
