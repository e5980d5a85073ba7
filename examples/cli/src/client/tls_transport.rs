//! TLS on a connection of `ureq`'s: its own would verify the name of the host only, and a member is known by its cluster.

use std::fmt;
use std::io::{Read, Write};

use clusterkit::net::{BlockingTlsStream, ClientTls};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::dialer::Socket;

/// A connection with TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: BlockingTlsStream<TransportAdapter<Socket>>,
}

impl TlsTransport {
    /// Speaks TLS with the node that was dialled at `addr`.
    pub(super) fn connect(
        tls: &ClientTls,
        socket: Socket,
        addr: &str,
        details: &ConnectionDetails<'_>,
    ) -> Result<Self, Error> {
        let mut adapter = TransportAdapter::new(socket, details.current_time.clone());
        adapter.set_timeout(details.timeout);
        Ok(TlsTransport {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: tls.connect_blocking(adapter, addr)?,
        })
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        self.stream.flush()?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
