//! `limits.allow` and `limits.deny`.

use super::Grammar;
use crate::{error::ValueError, network_list::NetworkList, value::Value};

/// Networks and files of networks, separated by commas.
#[derive(Debug)]
pub(crate) struct Networks;

impl Grammar<NetworkList> for Networks {
    fn parse(&self, text: &str) -> Result<NetworkList, ValueError> {
        text.parse()
    }

    fn print(&self, value: &NetworkList) -> Value {
        Value::text(value.to_string())
    }

    fn expected(&self) -> String {
        "networks such as 10.0.0.0/8 or 2001:db8::/32, addresses, or absolute paths of files with one a \
         line, with commas between them"
            .into()
    }

    fn placeholder(&self) -> String {
        "NETWORKS".into()
    }
}
