// Package linuxarm64 carries libclusterkit.a for linux/arm64. Programs do not import it: package clusterkit does.
package linuxarm64

// What the library itself needs comes after it.

// #cgo LDFLAGS: ${SRCDIR}/libclusterkit.a -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"
