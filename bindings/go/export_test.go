package clusterkit

// Handles is how many values are kept for C: callbacks, and calls whose outcome was not told.
func Handles() int64 { return handles.Load() }

// Owned is how many objects of C's wait for the end of the Go objects that own them.
func Owned() int64 { return owned.Load() }
