//! Settings of the server: what can be set, and how files, environment and flags become one
//! validated whole. Knows no socket, no layer and no clock, and reads no environment of its own.
//!
//! - [`Settings`] is plain data with the unit in the type; [`Settings::default`] is what holds when
//!   nobody says anything.
//! - [`Key`] is one row of the table that everything else derives from: names, flags, variables,
//!   accepted values, documentation.
//! - [`load`] reads [`Sources`] into an [`Effective`]: settings, and where each value came from.
//! - Every [`Error`] is one sentence that names the key, the value, its place and what was expected.

mod check;
mod defaults;
mod effective;
mod environment;
mod error;
#[cfg(feature = "file")]
mod file;
mod grammar;
mod key;
mod loader;
#[cfg(feature = "file")]
mod profile;
#[cfg(feature = "file")]
mod reference;
mod reload;
mod settings;
mod sources;
mod suggest;
mod table;
#[cfg(feature = "file")]
mod toml_text;
mod value;

pub use effective::Effective;
pub use environment::IgnoredVariable;
pub use error::{Error, Errors, ValueError};
pub use key::{Key, Reload, Support};
#[cfg(feature = "file")]
pub use profile::profiles;
#[cfg(feature = "file")]
pub use reference::reference;
pub use reload::Difference;
pub use settings::*;
pub use sources::{Sources, load};
pub use value::Value;
