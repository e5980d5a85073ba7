//! The contract that openraft has with whoever stores for it, and what our own storage promises beyond it.

mod forwarded;
mod lanes;
mod snapshots;
mod storage;
mod views;
