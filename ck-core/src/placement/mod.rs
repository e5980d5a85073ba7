//! Which nodes hold which partition. Pure: no I/O, no clock, no tokio.
