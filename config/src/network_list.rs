//! Lists of networks in settings: networks, addresses, and files with one a line.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{ValueError, quoted},
    networks::{Network, NetworkSet},
};

/// Most networks of a list, those of its files included.
const NETWORKS_MAX: usize = 1_000_000;

/// Largest file, a bound for `/dev/zero`: a million IPv6 networks take less.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A list of networks. `Display` is the text that a setting takes: the names of files, not what they hold.
///
/// Two lists are equal if they have the same items and their files had the same networks when they were read.
///
/// ```
/// use towline_config::NetworkList;
///
/// let list: NetworkList = "10.0.0.0/8, 192.0.2.7".parse()?;
/// assert!(list.set().contains("10.1.2.3".parse().unwrap()));
/// # Ok::<(), towline_config::ValueError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkList {
    items: Vec<Item>,
    set: Arc<NetworkSet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Network(Network),
    File(PathBuf),
}

impl NetworkList {
    /// The networks, as they were when the list was read.
    pub fn set(&self) -> &Arc<NetworkSet> {
        &self.set
    }
}

impl std::str::FromStr for NetworkList {
    type Err = ValueError;

    /// Reads the files that the list names.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.trim().is_empty() {
            return Err(ValueError::EMPTY);
        }
        let (mut items, mut networks) = (Vec::new(), Vec::new());
        for part in text.split(',').map(str::trim) {
            if part.starts_with('/') {
                read(Path::new(part), &mut networks)?;
                items.push(Item::File(part.into()));
            } else {
                let network: Network = part.parse().map_err(|error| {
                    ValueError::new(format!("has {}, which {error}", quoted(part)))
                })?;
                networks.push(network);
                items.push(Item::Network(network));
            }
        }
        let set = networks.into_iter().collect::<NetworkSet>();
        if set.is_empty() {
            // Of files alone, such as an allow list that was meant to have clients.
            return Err(ValueError::new("has no network in any of its files"));
        }
        Ok(Self { items, set: Arc::new(set) })
    }
}

impl fmt::Display for NetworkList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match item {
                Item::Network(network) => network.fmt(f)?,
                Item::File(path) => path.display().fmt(f)?,
            }
        }
        Ok(())
    }
}

/// Adds the networks of a file: one a line, with comments from `#` on.
fn read(path: &Path, networks: &mut Vec<Network>) -> Result<(), ValueError> {
    let name = quoted(&path.display().to_string());
    let unreadable = |error: io::Error| {
        ValueError::new(format!("has the file {name}, which cannot be read: {error}"))
    };
    let file = File::open(path).map_err(unreadable)?;
    for (at, line) in BufReader::new(file.take(FILE_BYTES_MAX)).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        let text = line.split('#').next().unwrap_or("").trim();
        if text.is_empty() {
            continue;
        }
        if networks.len() == NETWORKS_MAX {
            return Err(ValueError::new(format!("has more than {NETWORKS_MAX} networks")));
        }
        let network = text.parse::<Network>().map_err(|error| {
            let (line, text) = (at + 1, quoted(text));
            ValueError::new(format!("has the file {name}, whose line {line}, {text}, {error}"))
        })?;
        networks.push(network);
    }
    Ok(())
}
