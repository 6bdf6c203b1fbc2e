//! What makes the session of a connection.

use towline_middleware::session::{Conn, IntoSession, Session, SessionResponder, SessionStack};

/// What answers for the session that `make` makes for `conn`.
pub(crate) fn responder<R: IntoSession>(
    conn: Conn<<R::Session as Session>::Protocol>,
    make: impl FnOnce(Conn<<R::Session as Session>::Protocol>) -> R,
    stack: &SessionStack,
) -> SessionResponder<R::Session> {
    match make(conn.clone()).into_session() {
        Ok(session) => SessionResponder::new(session, conn, stack.clone()),
        Err(refused) => SessionResponder::refused(refused),
    }
}
