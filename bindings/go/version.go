package clusterkit

// #include "glue.h"
import "C"

import (
	"fmt"
	"sync"
)

// Version is the version of the library that runs, as "major.minor.patch".
func Version() string { return C.GoString(C.ck_version()) }

// VersionNumber is [Version] in one number that grows with every version: major * 1000000 + minor * 1000 + patch.
func VersionNumber() uint32 { return uint32(C.ck_version_number()) }

// ABIVersion is the number of the C interface of the library that runs.
func ABIVersion() uint32 { return uint32(C.ck_abi_version()) }

// checkLibrary refuses a library that this package was not built for: with clusterkit_dynamic it is the system's.
var checkLibrary = sync.OnceValue(func() error {
	if found := ABIVersion(); found != C.CK_ABI_VERSION {
		message := fmt.Sprintf("the library of this system has version %d of the C interface, and this program was built for %d",
			found, C.CK_ABI_VERSION)
		return &Error{Code: CodeVersion, Message: message}
	}
	if found := VersionNumber(); found < C.CK_VERSION {
		message := fmt.Sprintf("the library of this system is ClusterKit %s, and this program needs %d.%d.%d or later",
			Version(), C.CK_VERSION_MAJOR, C.CK_VERSION_MINOR, C.CK_VERSION_PATCH)
		return &Error{Code: CodeVersion, Message: message}
	}
	return nil
})
