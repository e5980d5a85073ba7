package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"log/slog"
	"runtime/cgo"
	"sync"
	"sync/atomic"
)

// Logger is where messages for people go. The library writes nowhere else. The arguments are names and values in turns, as in
// log/slog: a *slog.Logger is a Logger.
//
// Messages come one after the other, in the order in which they were written, and nothing in the node waits for them. A panic
// in here is recovered, and the message lost.
type Logger interface {
	Info(msg string, args ...interface{})
	Warn(msg string, args ...interface{})
	Error(msg string, args ...interface{})
	Debug(msg string, args ...interface{})
}

// LevelTrace is the level below slog.LevelDebug that [SlogLogger] gives to messages of the level "trace".
const LevelTrace = slog.LevelDebug - 4

// levelLogger is a Logger that knows all five levels.
type levelLogger interface {
	log(level C.int32_t, msg string, args ...interface{})
}

// SlogLogger makes a Logger of log/slog's. Messages of the level "trace" get [LevelTrace]; a *slog.Logger that is given as it is
// gets them as debug messages.
func SlogLogger(logger *slog.Logger) Logger { return slogLogger{logger} }

type slogLogger struct{ *slog.Logger }

func (l slogLogger) log(level C.int32_t, msg string, args ...interface{}) {
	l.Log(context.Background(), slogLevel(level), msg, args...)
}

func slogLevel(level C.int32_t) slog.Level {
	switch level {
	case C.CK_LOG_ERROR:
		return slog.LevelError
	case C.CK_LOG_WARN:
		return slog.LevelWarn
	case C.CK_LOG_INFO:
		return slog.LevelInfo
	case C.CK_LOG_DEBUG:
		return slog.LevelDebug
	}
	return LevelTrace
}

// SetLogger sets where messages of this node go, those that the option log_level lets through. It replaces an earlier logger;
// nil drops messages.
func (ck *ClusterKit) SetLogger(logger Logger) error {
	return ck.handle.with(func(cluster *C.ck_cluster_t) error {
		if logger == nil {
			return takeError(C.ckgo_set_log(cluster, 0))
		}
		user := keep(&logCallback{logger: logger})
		if failed := C.ckgo_set_log(cluster, C.uintptr_t(user)); failed != nil {
			release(user)
			return takeError(failed)
		}
		return nil
	})
}

// logCallback is what C's user data leads to.
type logCallback struct {
	logger Logger
	// Messages come one after the other, those that the binding itself has for a client among them.
	mu    sync.Mutex
	ended atomic.Bool
}

func (c *logCallback) destroyed() { c.ended.Store(true) }

// ckgoLog is called with a message, on a thread of the library that does nothing else.
//
//export ckgoLog
func ckgoLog(record *C.ck_log_record_t, user C.uintptr_t) {
	callback := cgo.Handle(user).Value().(*logCallback)
	message := C.GoStringN(record.message, C.int(record.message_len))
	if node := C.GoString(record.node_id); node != "" {
		callback.tell(record.level, message, "node", node)
		return
	}
	// A client's.
	callback.tell(record.level, message)
}

func (c *logCallback) tell(level C.int32_t, message string, args ...interface{}) {
	// A panic that got out would end the process. There is nobody to tell it to: this is where messages end.
	defer func() { _ = recover() }()
	c.mu.Lock()
	defer c.mu.Unlock()
	if logger, ok := c.logger.(levelLogger); ok {
		logger.log(level, message, args...)
		return
	}
	switch level {
	case C.CK_LOG_ERROR:
		c.logger.Error(message, args...)
	case C.CK_LOG_WARN:
		c.logger.Warn(message, args...)
	case C.CK_LOG_INFO:
		c.logger.Info(message, args...)
	default:
		c.logger.Debug(message, args...)
	}
}
