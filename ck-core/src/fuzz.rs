//! What the fuzz targets call: one function for each door that bytes come in through, from a disk, a network or a person.
//!
//! For `fuzz/` alone, and for the test that runs every input of its corpus once. A function takes any bytes and panics where
//! something is wrong; what it makes of them is said beside it. Where checksums would turn every mutation away, an input
//! says whether they are to be made right first ([`Input::flags`]).

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

/// One target.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is also that of the folder of its corpus.
    pub name: &'static str,
    /// What it does with some bytes.
    pub run: fn(&[u8]),
    /// The most bytes of memory that it may take at a time: so many, and so many for each byte of the input.
    memory: (u64, u64),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "log",
        run: crate::raft::storage::wal::fuzz::log,
        // Eight segments, each as it is on the disk and as it is read, and those that the log begins.
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
        name: "options",
        run: crate::options::fuzz::options,
        memory: (1 << 20, 512),
    },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// The most bytes of memory that it may take at a time for an input of this length.
    pub fn memory(&self, length: usize) -> u64 {
        self.memory.0 + self.memory.1 * length as u64
    }
}
