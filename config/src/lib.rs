#![doc = include_str!("../README.md")]

mod check;
mod defaults;
mod edge;
mod effective;
mod environment;
mod error;
#[cfg(feature = "file")]
mod file;
mod grammar;
mod key;
mod listener;
mod loader;
mod network_list;
mod networks;
#[cfg(feature = "file")]
mod profile;
#[cfg(feature = "file")]
mod reference;
mod reload;
mod run_time;
mod settings;
mod sources;
mod suggest;
mod table;
#[cfg(feature = "file")]
mod toml_text;
mod value;
mod words;

pub use edge::{ClientAuth, ProxyMode, ProxyProtocol, Tls, TlsVersion};
pub use effective::Effective;
pub use environment::IgnoredVariable;
pub use error::{Error, Errors, ValueError};
pub use key::{Key, Reload};
pub use listener::{Listen, ListenerSettings};
pub use network_list::NetworkList;
pub use networks::{Network, NetworkSet};
#[cfg(feature = "file")]
pub use profile::profiles;
#[cfg(feature = "file")]
pub use reference::{reference, sections};
pub use reload::PendingRestart;
pub use run_time::RunTimeSettings;
pub use settings::{
    AdminSettings, Admission, ConnectionLog, Digest, Flush, FlushPolicy, Framing, Heartbeat,
    Limits, Log, LogFormat, LogLevel, Overload, Processes, ReceiveBuffer, ServerSettings, Settings,
    SocketOptions, Timeouts, Workload, WorkloadKind,
};
pub use sources::{Sources, load};
pub use value::Value;
