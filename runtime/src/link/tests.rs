//! Two nodes over real sockets.
