//! Where the newest view is found.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::view::ClusterView;

/// The newest view. Any number of threads load it without a lock and without slowing each other; one
/// writer, the applier, replaces it.
///
/// With a single writer, revisions seen by any one thread never go back.
pub struct SharedView(ArcSwap<ClusterView>);

impl SharedView {
    /// Starts with `view`.
    pub fn new(view: ClusterView) -> Self {
        SharedView(ArcSwap::from_pointee(view))
    }

    /// The newest view. It stays as it is while the guard lives, whatever is stored meanwhile.
    ///
    /// Meant for the length of a call: to keep a view for longer, take [`ViewGuard::into_owned`] (a
    /// thread that holds many guards at once gets slower ones). The first load of a thread may allocate.
    #[inline]
    pub fn load(&self) -> ViewGuard {
        ViewGuard(self.0.load())
    }

    /// The newest view, to keep.
    pub fn load_owned(&self) -> Arc<ClusterView> {
        self.0.load_full()
    }

    /// Replaces the view. Whoever loads after this has returned sees `view` or a newer one.
    pub fn store(&self, view: ClusterView) {
        self.0.store(Arc::new(view));
    }
}

impl fmt::Debug for SharedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedView")
            .field(&self.load().revision())
            .finish()
    }
}

/// A view on loan from a [`SharedView`].
pub struct ViewGuard(Guard<Arc<ClusterView>>);

impl ViewGuard {
    /// The view, to keep for as long as one likes.
    pub fn into_owned(self) -> Arc<ClusterView> {
        Guard::into_inner(self.0)
    }
}

impl Deref for ViewGuard {
    type Target = ClusterView;

    #[inline]
    fn deref(&self) -> &ClusterView {
        &self.0
    }
}

impl fmt::Debug for ViewGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
