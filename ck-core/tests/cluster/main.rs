//! Clusters of several nodes in this process, over loopback, through the public handle.

// Says to clippy that all of this is a test, helpers included.
#![cfg(test)]

mod admin;
mod async_calls;
mod attacks;
mod clients;
mod directory;
mod events;
mod fencing;
mod formation;
mod leadership;
mod lessons;
mod onlookers;
mod refusals;
mod restart;
mod secrecy;
mod security;
mod support;
mod tls;
mod writes;
