//! The frames that a session answers at once.

use bytes::BytesMut;

use super::{
    Action, ActionOf, Cx, Session,
    running::{PART_BYTES, Running},
};
use crate::protocol::Protocol;

impl<S: Session> Running<S> {
    /// Calls the session with the frames of `batch` from `at` on, until `out` is a full part, `frames_max`
    /// were answered, or the session asks for something else than the next frame, which is returned.
    ///
    /// Every line of every session comes through this loop: what does not depend on the frame is done
    /// around it.
    #[inline]
    pub(super) fn answer_frames(
        &mut self,
        batch: &[u8],
        at: &mut usize,
        out: &mut BytesMut,
        frames_max: u32,
    ) -> (u32, ActionOf<S>) {
        let mut rest = batch.get(*at..).unwrap_or_default();
        let mut frames = 0;
        let action = self.call(out, |session, cx: &mut Cx<'_, S::Protocol>| {
            while !rest.is_empty()
                && frames < frames_max
                && cx.written() < PART_BYTES
                && !cx.stops()
            {
                let before = rest.len();
                let frame = S::Protocol::next(&mut rest);
                if rest.len() >= before {
                    // A protocol that takes nothing off would be asked for ever.
                    rest = &[];
                }
                frames += 1;
                match session.on_frame(frame, cx) {
                    Action::Continue => {}
                    action => return action,
                }
            }
            Action::Continue
        });
        *at = batch.len() - rest.len();
        (frames, action)
    }
}
