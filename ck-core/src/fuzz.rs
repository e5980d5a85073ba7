//! The entry points of the fuzz targets: one function for each place where bytes enter, from a disk, a network or a
//! user.
//!
//! Used only by `fuzz/`, and by the test that runs every input of the corpus once. A function accepts any bytes and
//! panics if it finds a defect; its own comment says what it does with the bytes. Where a checksum would reject every
//! mutation, a flag of the input says whether to correct the checksum first ([`Input::flags`]).

#[cfg(test)]
mod corpus;
mod input;
#[cfg(feature = "sim")]
pub(crate) mod node;

#[cfg(test)]
pub(crate) use corpus::Example;
pub(crate) use input::Input;
#[cfg(test)]
pub(crate) use input::put_part;

/// A fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is also the name of its corpus folder.
    pub name: &'static str,
    /// Runs the target on an input.
    pub run: fn(&[u8]),
    /// The most memory that the target may hold at a time: a fixed number of bytes, and a number for each byte of the
    /// input.
    memory: (u64, u64),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "log",
        run: crate::raft::storage::wal::fuzz::log,
        // Eight segments, each as it is on the disk and as it is read, and those that the log starts itself.
        memory: (4 << 20, 64),
    },
    Target {
        name: "snapshot",
        run: crate::raft::fuzz::snapshot,
        memory: (1 << 20, 512),
    },
    Target {
        name: "identity",
        run: crate::membership::fuzz::identity,
        memory: (1 << 20, 256),
    },
    Target {
        name: "frames",
        run: crate::net::fuzz::frames,
        memory: (256 << 10, 16),
    },
    Target {
        name: "proofs",
        run: crate::net::security::fuzz::proofs,
        memory: (256 << 10, 64),
    },
    #[cfg(feature = "sim")]
    Target {
        name: "peer",
        run: node::peer,
        memory: (64 << 20, 1024),
    },
    Target {
        name: "http",
        run: crate::http::fuzz::http,
        memory: (64 << 20, 1024),
    },
    Target {
        name: "client",
        run: crate::client::fuzz::client,
        memory: (1 << 20, 512),
    },
    Target {
        name: "options",
        run: crate::options::fuzz::options,
        memory: (1 << 20, 512),
    },
];

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// The most memory, in bytes, that the target may hold at a time for an input of this length.
    pub fn memory(&self, length: usize) -> u64 {
        self.memory.0 + self.memory.1 * length as u64
    }
}
