use super::*;
use crate::env::disk::MemDisk;

const DIR: &str = "/node";

fn file() -> (Arc<dyn Disk>, IdentityFile) {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    disk.create_dir_all(Path::new(DIR)).unwrap();
    (disk.clone(), IdentityFile::new(disk, Path::new(DIR)))
}

fn identity() -> Identity {
    let mut identity = Identity::of_founder();
    identity.founded = true;
    identity
}

#[test]
fn no_flipped_bit_makes_another_identity() {
    let (disk, file) = file();
    file.store(&identity()).unwrap();
    let stored = file.load().unwrap().unwrap();
    assert_eq!(stored.founding, identity().founding);
    let whole = disk.read(&file.path, MAX_BYTES).unwrap().unwrap();
    let mut noticed = 0;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            disk.replace(&file.path, &flipped).unwrap();
            match file.load() {
                // The bit changed white space only.
                Ok(read) => assert_eq!(read.unwrap(), stored, "byte {at} bit {bit}"),
                Err(error) => {
                    noticed += 1;
                    assert!(
                        [ErrorCode::Corrupt, ErrorCode::Version].contains(&error.code()),
                        "byte {at} bit {bit}: {error}"
                    );
                    assert!(error.message().contains("identity.json"), "{error}");
                }
            }
        }
    }
    assert!(
        noticed > whole.len() * 6,
        "{noticed} flips of {} bytes",
        whole.len()
    );
}

#[test]
fn an_identity_of_the_first_version_is_read_and_counts_as_one_that_has_a_log() {
    let (disk, file) = file();
    let old = br#"{"version":1,"cluster_id":"a","cluster_name":"b","node_id":"n","raft_id":2}"#;
    disk.replace(&file.path, old).unwrap();
    let error = file.load().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(error.message().contains("/node/wal.log"), "{error}");
    disk.create_dir_all(&Path::new(DIR).join(LOG_DIR)).unwrap();
    disk.create(&Path::new(DIR).join(LOG_DIR).join("0000000001.log"))
        .unwrap();
    let identity = file.load().unwrap().unwrap();
    assert!(identity.has_log && !identity.founded);
    file.store(&identity).unwrap();
    assert_eq!(file.load().unwrap().unwrap().raft_id, 2);
}

#[test]
fn a_log_without_an_identity_is_not_an_empty_directory() {
    for left in ["wal.log/0000000001.log", "snapshot"] {
        let (disk, file) = file();
        let path = Path::new(DIR).join(left);
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.create(&path).unwrap();
        let error = file.load().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Corrupt);
        for part in ["/node/identity.json", "missing", "as a new node"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}
