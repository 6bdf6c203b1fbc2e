//! Who may do what: the user of a UNIX socket's client, the token of a TCP client.

use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
};
use rustix::process::geteuid;

use super::{
    routes::{TEXT, reply},
    token::Token,
};

/// How a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Over the TCP port: it may read, and send commands with a token.
    Port,
    /// Over the UNIX socket, as the server's own user or as root: it may do everything.
    Owner,
    /// Over the UNIX socket, as this user: it may do nothing. The file's mode keeps it out already, unless
    /// that was changed.
    Stranger(u32),
}

impl Access {
    /// The access of a client of the UNIX socket whose process has this effective user.
    pub(super) fn of_user(user: u32) -> Self {
        if user == 0 || user == geteuid().as_raw() { Self::Owner } else { Self::Stranger(user) }
    }

    /// The refusal of a request of any kind, if it is refused.
    pub(super) fn refuse_all(self) -> Option<Response<Full<Bytes>>> {
        let Self::Stranger(user) = self else { return None };
        let own = geteuid().as_raw();
        let sentence =
            format!("user {user} may not use this socket: expected user {own}, or root\n");
        Some(reply(StatusCode::FORBIDDEN, TEXT, sentence))
    }

    /// The refusal of a command, if it is refused.
    pub(super) fn refuse_command(
        self,
        headers: &HeaderMap,
        token: Option<&Token>,
    ) -> Option<Response<Full<Bytes>>> {
        match (self, token) {
            (Self::Owner, _) => None,
            (Self::Stranger(_), _) => self.refuse_all(),
            (Self::Port, None) => Some(reply(
                StatusCode::FORBIDDEN,
                TEXT,
                "this port takes no commands: send them to the socket of admin.socket, or set \
                 admin.token_file\n",
            )),
            (Self::Port, Some(token)) if is_authorized(headers, token) => None,
            (Self::Port, Some(_)) => {
                let sentence = "expected the header `Authorization: Bearer TOKEN` with the token of \
                                admin.token_file\n";
                let mut refusal = reply(StatusCode::UNAUTHORIZED, TEXT, sentence);
                let scheme = HeaderValue::from_static("Bearer");
                refusal.headers_mut().insert(WWW_AUTHENTICATE, scheme);
                Some(refusal)
            }
        }
    }
}

/// Whether the request carries the token. Of several such headers, none is taken.
fn is_authorized(headers: &HeaderMap, token: &Token) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given)
}
