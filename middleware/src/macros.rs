/// `get_ref`, `get_mut` and `into_inner` of a service whose inner service is the field `inner: S`.
macro_rules! service_accessors {
    () => {
        /// The inner service.
        pub const fn get_ref(&self) -> &S {
            &self.inner
        }

        /// The inner service, mutably.
        pub const fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// Drops this service and returns the inner one.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}

pub(crate) use service_accessors;
