package clusterkit

// Handles is how many values are kept for C: callbacks, and calls whose outcome was not told.
func Handles() int64 { return handles.Load() }
