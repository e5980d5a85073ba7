//! What inputs share, because it takes long to make: a node that leads a cluster of one, a client of it, a test cluster.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;

unsafe extern "C" {
    fn ck_options_new(out: *mut *mut c_void) -> *mut c_void;
    fn ck_options_free(options: *mut c_void);
    fn ck_options_set(
        options: *mut c_void,
        name: *const c_char,
        name_len: usize,
        value: *const c_char,
        len: usize,
    ) -> *mut c_void;
    fn ck_cluster_new(options: *const c_void, out: *mut *mut c_void) -> *mut c_void;
    fn ck_cluster_ref(cluster: *const c_void) -> *mut c_void;
    fn ck_cluster_start(cluster: *mut c_void) -> *mut c_void;
    fn ck_cluster_free(cluster: *mut c_void);
    fn ck_cluster_http_addr(cluster: *const c_void, buffer: *mut c_char, size: usize) -> *mut c_void;
    fn ck_client_options_new(out: *mut *mut c_void) -> *mut c_void;
    fn ck_client_options_free(options: *mut c_void);
    fn ck_client_options_set(
        options: *mut c_void,
        name: *const c_char,
        name_len: usize,
        value: *const c_char,
        len: usize,
    ) -> *mut c_void;
    fn ck_client_new(options: *const c_void, out: *mut *mut c_void) -> *mut c_void;
    fn ck_client_ref(client: *const c_void) -> *mut c_void;
    fn ck_client_free(client: *mut c_void);
    fn ck_testing_options_new(out: *mut *mut c_void) -> *mut c_void;
    fn ck_testing_options_free(options: *mut c_void);
    fn ck_testing_options_set(
        options: *mut c_void,
        name: *const c_char,
        name_len: usize,
        value: *const c_char,
        len: usize,
    ) -> *mut c_void;
    fn ck_testing_start(options: *const c_void, out: *mut *mut c_void) -> *mut c_void;
    fn ck_testing_free(testing: *mut c_void);
    fn ck_error_message(error: *const c_void) -> *const c_char;
}

/// After so many inputs everything is made anew: hooks and data of the inputs before are gone then.
const INPUTS: u32 = 500;

struct World {
    cluster: *mut c_void,
    client: *mut c_void,
    testing: *mut c_void,
    inputs_left: u32,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

type Set = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> *mut c_void;

/// # Safety
/// It is NULL or an error.
unsafe fn must(error: *mut c_void) {
    if !error.is_null() {
        // SAFETY: an error has a message.
        let message = unsafe { CStr::from_ptr(ck_error_message(error)) };
        panic!("{}", message.to_string_lossy());
    }
}

/// # Safety
/// `options` are what `set` sets.
unsafe fn set_all(options: *mut c_void, set: Set, values: &[(&str, &str)]) {
    for (name, value) in values {
        // SAFETY: both texts live for the call.
        unsafe {
            must(set(
                options,
                name.as_ptr().cast(),
                name.len(),
                value.as_ptr().cast(),
                value.len(),
            ));
        }
    }
}

impl World {
    fn new() -> Self {
        let mut world = World {
            cluster: null_mut(),
            client: null_mut(),
            testing: null_mut(),
            inputs_left: INPUTS,
        };
        // SAFETY: every handle is used as the header says.
        unsafe {
            let mut options = null_mut();
            must(ck_options_new(&raw mut options));
            let values = [
                ("node_id", "founder"),
                ("http_addr", "127.0.0.1:0"),
                ("data_dir", ""),
                ("partition_count", "8"),
            ];
            set_all(options, ck_options_set, &values);
            must(ck_cluster_new(options, &raw mut world.cluster));
            ck_options_free(options);
            must(ck_cluster_start(world.cluster));

            let mut address = [0; 512];
            must(ck_cluster_http_addr(
                world.cluster,
                address.as_mut_ptr(),
                address.len(),
            ));
            let address = CStr::from_ptr(address.as_ptr()).to_string_lossy();
            must(ck_client_options_new(&raw mut options));
            set_all(options, ck_client_options_set, &[("addrs", &*address)]);
            must(ck_client_new(options, &raw mut world.client));
            ck_client_options_free(options);

            must(ck_testing_options_new(&raw mut options));
            set_all(
                options,
                ck_testing_options_set,
                &[("nodes", "2"), ("partition_count", "8")],
            );
            must(ck_testing_start(options, &raw mut world.testing));
            ck_testing_options_free(options);
        }
        world
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: this is the last use of each.
        unsafe {
            ck_testing_free(self.testing);
            ck_client_free(self.client);
            ck_cluster_free(self.cluster);
        }
    }
}

/// Handles of this world: a share of the cluster, a share of the client, and the test cluster, which has no shares.
pub(crate) fn handles() -> [(&'static str, *mut c_void); 3] {
    WORLD.with_borrow_mut(|place| {
        if place.as_ref().is_some_and(|world| world.inputs_left == 0) {
            *place = None;
        }
        let world = place.get_or_insert_with(World::new);
        world.inputs_left -= 1;
        // SAFETY: both are handles.
        let (cluster, client) = unsafe { (ck_cluster_ref(world.cluster), ck_client_ref(world.client)) };
        [
            ("ck_cluster_t", cluster),
            ("ck_client_t", client),
            ("ck_testing_t", world.testing),
        ]
    })
}
