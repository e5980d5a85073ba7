//! Clusters of several nodes in this process, over loopback, through the public handle.

mod admin;
mod events;
mod formation;
mod leadership;
mod refusals;
mod restart;
mod support;
mod writes;
