//! The attribute macros of botzilla.
