//! Counts of answered requests.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{Method, StatusCode};

use super::ROUTES;

/// Requests that this node has answered, by route and class of status. Shared by the router and by all code that
/// reports them.
#[derive(Debug)]
pub struct RequestCounters {
    /// One row per entry of [`ROUTES`], and a last one for all other requests; one column per class, 1xx to 5xx.
    rows: Vec<[AtomicU64; 5]>,
}

/// One entry of [`RequestCounters::snapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestCount {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) class: &'static str,
    pub(super) count: u64,
}

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Default for RequestCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestCounters {
    /// Counters at zero.
    pub fn new() -> Self {
        RequestCounters {
            rows: (0..=ROUTES.len()).map(|_| Default::default()).collect(),
        }
    }

    /// Number of requests answered.
    pub fn requests(&self) -> u64 {
        self.sum(0)
    }

    /// Number of requests answered with a 4xx or 5xx status.
    pub fn errors(&self) -> u64 {
        self.sum(3)
    }

    fn sum(&self, first_class: usize) -> u64 {
        self.rows
            .iter()
            .flat_map(|row| &row[first_class..])
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// The row of a request. HEAD counts as GET.
    pub(super) fn row(method: &Method, template: Option<&str>) -> usize {
        let method = if method == Method::HEAD {
            "GET"
        } else {
            method.as_str()
        };
        ROUTES
            .iter()
            .position(|route| Some(route.path) == template && route.method == method)
            .unwrap_or(ROUTES.len())
    }

    pub(super) fn count(&self, row: usize, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(row) = self.rows.get(row) {
            row[class].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every count that is not zero, in a fixed order.
    pub(super) fn snapshot(&self) -> Vec<RequestCount> {
        let mut counts = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            // Unknown paths are not used as labels, because clients can invent any number of them.
            let (method, path) = ROUTES
                .get(index)
                .map_or(("other", "other"), |route| (route.method, route.path));
            for (class, count) in STATUS_CLASSES.into_iter().zip(row) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    counts.push(RequestCount {
                        method,
                        path,
                        class,
                        count,
                    });
                }
            }
        }
        counts
    }
}
