// Package linuxamd64 carries libclusterkit.a for linux/amd64. Programs do not import it: package clusterkit does.
package linuxamd64

// What the library itself needs comes after it.

// #cgo LDFLAGS: ${SRCDIR}/libclusterkit.a -lpthread -lm -ldl
import "C"
