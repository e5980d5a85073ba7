//! One key-value server: see ../README.md for how to run it and what it promises.
#![allow(clippy::print_stdout, reason = "it says when it is ready")]

use kv::{Config, Server, StartError};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let starting = Server::start(Config::from_env()?);
    let server = tokio::select! {
        server = starting => server?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    println!("ready {} {}", server.http_addr(), server.kv_addr());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(server.stop().await?)
}
