//! Botzilla's registry: discovery for components, itself a component.

pub mod store;
pub mod table;
