// Package linuxarm64 carries libclusterkit.a for linux/arm64. Programs do not import it: package clusterkit does.
package linuxarm64

// What the library itself needs comes after it.

// #cgo LDFLAGS: ${SRCDIR}/libclusterkit.a -lpthread -lm -ldl
import "C"
