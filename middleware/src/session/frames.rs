//! The frames that a session answers at once.

use bytes::BytesMut;

use super::{Action, ActionOf, Cx, Session, running::Running};
use crate::{batch::take_frame, rest::PART_BYTES};

impl<S: Session> Running<S> {
    /// Calls the session with the frames of `batch` from `at` on, until `out` is a full part, `frames_max`
    /// were answered, or the session returns an action other than [`Action::Continue`]. Returns how many frames it
    /// called, and that action.
    ///
    /// Every frame of every session passes this loop, so work that does not depend on the frame is done
    /// outside of it.
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
                let frame = take_frame::<S::Protocol>(&mut rest);
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
