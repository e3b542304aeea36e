//! Botzilla's registry: discovery for components, itself a component.

mod desk;
pub mod store;
pub mod table;
