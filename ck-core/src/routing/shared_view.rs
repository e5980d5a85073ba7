//! The newest view, which one thread stores and all threads load.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::cluster_view::ClusterView;

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

    /// The newest view. The guard keeps this view, also when a newer one is stored.
    ///
    /// Meant for the length of a call: to keep a view for longer, use [`ViewGuard::into_owned`] (many guards at once make
    /// the loads of a thread slower). The first load of a thread may allocate.
    #[inline]
    pub fn load(&self) -> ViewGuard {
        ViewGuard(self.0.load())
    }

    /// Replaces the view. A load after this has returned gives `view` or a newer one.
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

/// A view loaded from a [`SharedView`].
pub struct ViewGuard(Guard<Arc<ClusterView>>);

impl ViewGuard {
    /// The view as an `Arc`, to be kept for any time.
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
