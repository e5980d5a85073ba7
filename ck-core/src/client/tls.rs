//! TLS of a client: made from files, which are read again before a connection is made.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::options::ClientOptions;
use crate::env::{self, Instant};
use crate::error::Result;
use crate::net::{ClientTls, ClientTlsPem, PeerStream, Socket};
use crate::options::{OPTION_FILE_READ_INTERVAL, read_option_file};

/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The TLS that a client's options ask for.
#[derive(Debug)]
pub(super) struct TlsFiles {
    options: Arc<ClientOptions>,
    present: Mutex<(ClientTls, Instant)>,
}

impl TlsFiles {
    /// `None` where the options ask for no TLS.
    ///
    /// # Errors
    /// `INVALID_OPTION` for a file that cannot be read, or has not in it what it should.
    pub(super) fn new(options: &ClientOptions) -> Result<Option<Self>> {
        if options.tls_ca.is_none() && !options.insecure {
            return Ok(None);
        }
        let present = Mutex::new((load(options)?, Instant::now()));
        Ok(Some(TlsFiles {
            options: Arc::new(options.clone()),
            present,
        }))
    }

    /// Speaks TLS with the node that was dialled at `addr`.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`: one of the two does not accept the other. `UNREACHABLE`: no TLS is spoken there.
    pub(super) async fn connect(&self, socket: Socket, addr: &str) -> Result<Box<dyn PeerStream>> {
        let tls = self.present().await;
        Ok(Box::new(tls.connect(socket, addr).await?))
    }

    /// What the files have now. Files that are wrong, or are just being replaced, change nothing.
    async fn present(&self) -> ClientTls {
        {
            let mut present = self.present.lock();
            if present.1.elapsed() < OPTION_FILE_READ_INTERVAL {
                return present.0.clone();
            }
            present.1 = Instant::now();
        }
        let options = self.options.clone();
        // A file on a network may hang.
        let loaded = env::blocking(move || load(&options)).await;
        let mut present = self.present.lock();
        if let Ok(Ok(tls)) = loaded {
            present.0 = tls;
        }
        present.0.clone()
    }
}

fn load(options: &ClientOptions) -> Result<ClientTls> {
    let read = |option: &str, path: &Option<String>| match path {
        Some(path) => read_option_file(option, Path::new(path), MAX_FILE_BYTES).map(Some),
        None => Ok(None),
    };
    let ca = read("tls_ca", &options.tls_ca)?;
    let cert = read("tls_cert", &options.tls_cert)?;
    let key = read("tls_key", &options.tls_key)?;
    ClientTls::new(ClientTlsPem {
        cluster: options.cluster_name.as_deref(),
        ca: ca.as_deref(),
        own: cert.as_deref().zip(key.as_deref()),
    })
}
