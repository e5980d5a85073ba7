//! What a test cluster is made with.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use clusterkit::testing::{TestCluster, TestClusterBuilder};
use clusterkit::{Error, ErrorCode, Options, Result};
use parking_lot::Mutex;

use crate::border::foreign::Foreign;
use crate::border::guard::{caught, fallible, fallible_out};
use crate::border::handle::{self, Handle, borrow};
use crate::border::text::{quoted, text};
use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::hook::ck_destroy_fn;
use crate::options::ck_options_t;

/// What a test cluster is made with.
pub struct ck_testing_options_t(Mutex<TestOptions>);

impl Handle for ck_testing_options_t {
    // User data of callbacks is held, whose destroy functions run.
}

impl ck_testing_options_t {
    pub(crate) fn read(&self) -> TestOptions {
        self.0.lock().clone()
    }
}

/// Called with the options of each node of a test cluster before the node is made, so that they can differ: index is that of the
/// node, options its options, valid until the callback returns, to be changed with ck_options_set. Addresses, data_dir and how
/// it joins are the test cluster's: what is set there is replaced. user_data: what was given with the callback. Returns 0, or
/// another number to refuse: the call that makes the node then fails with REFUSED. It must return: no exception, no longjmp.
pub type ck_testing_configure_fn = Option<
    unsafe extern "C-unwind" fn(index: usize, options: *mut ck_options_t, user_data: *mut c_void) -> i32,
>;

/// Called with every process of a node of a test cluster before it is started, also by ck_testing_restart: the place for hooks,
/// event queues and log callbacks. cluster: valid until the callback returns; ck_cluster_ref makes a share to keep. index,
/// user_data and the result: as for ck_testing_configure_fn.
pub type ck_testing_prepare_fn = Option<
    unsafe extern "C-unwind" fn(index: usize, cluster: *mut ck_cluster_t, user_data: *mut c_void) -> i32,
>;

type Configure = unsafe extern "C-unwind" fn(usize, *mut ck_options_t, *mut c_void) -> i32;
type Prepare = unsafe extern "C-unwind" fn(usize, *mut ck_cluster_t, *mut c_void) -> i32;

/// The handles of the nodes' present processes, by index.
pub(crate) type Slots = Arc<Mutex<Vec<Option<Arc<ck_cluster_t>>>>>;

#[derive(Clone, Default)]
pub(crate) struct TestOptions {
    nodes: Option<usize>,
    seed: u64,
    manual_clock: bool,
    /// Options of every node, by name, which were accepted once.
    of_nodes: Vec<(String, String)>,
    configure: Option<(Configure, Arc<Foreign>)>,
    prepare: Option<(Prepare, Arc<Foreign>)>,
}

impl TestOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let wrong = |right: &str| {
            let message = format!("option {name} is {}; {right}", quoted(value));
            Error::new(ErrorCode::InvalidOption, message)
        };
        match name {
            "nodes" => {
                let nodes = value.parse().ok().filter(|nodes| (1..=1000).contains(nodes));
                self.nodes = Some(nodes.ok_or_else(|| wrong("a test cluster has 1 to 1000 nodes"))?);
            }
            "seed" => self.seed = value.parse().map_err(|_| wrong("it is a whole number from 0"))?,
            "manual_clock" => {
                self.manual_clock = value.parse().map_err(|_| wrong("it is true or false"))?;
            }
            _ => {
                Options::default().set(name, value)?;
                self.of_nodes.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    /// The test cluster's builder. Processes of nodes appear in `slots` as they are made.
    pub(crate) fn builder(self, slots: Slots) -> TestClusterBuilder {
        let TestOptions {
            nodes,
            seed,
            manual_clock,
            of_nodes,
            configure,
            prepare,
        } = self;
        let refused = Arc::new(Mutex::new(None));
        let builder = TestCluster::builder().seed(seed).manual_clock(manual_clock);
        let builder = match nodes {
            Some(nodes) => builder.nodes(nodes),
            None => builder,
        };
        let told = Arc::clone(&refused);
        builder
            .options(move |index, options| {
                for (name, value) in &of_nodes {
                    if let Err(error) = options.set(name, value) {
                        told.lock().get_or_insert(error);
                    }
                }
                if let Some((configure, foreign)) = &configure
                    && let Err(error) = call_configure(*configure, index, options, foreign)
                {
                    told.lock().get_or_insert(error);
                }
            })
            .prepare(move |index, kit| {
                if let Some(error) = refused.lock().take() {
                    return Err(error);
                }
                let cluster = Arc::new(ck_cluster_t::of_test_cluster(kit.clone()));
                if let Some((prepare, foreign)) = &prepare {
                    call_prepare(*prepare, index, &cluster, foreign)?;
                }
                let earlier = {
                    let mut slots = slots.lock();
                    if slots.len() <= index {
                        slots.resize(index + 1, None);
                    }
                    slots.get_mut(index).and_then(|slot| slot.replace(cluster))
                };
                // Outside of the lock: a completion callback may be waited for.
                if let Some(earlier) = earlier {
                    earlier.end();
                }
                Ok(())
            })
    }
}

fn refused(what: &str, index: usize, code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Error::new(
            ErrorCode::Refused,
            format!("the {what} callback of node {index} returned {code}"),
        )),
    }
}

fn call_configure(
    configure: Configure,
    index: usize,
    options: &mut Options,
    foreign: &Foreign,
) -> Result<()> {
    let mut lent = Box::new(ck_options_t::new(std::mem::take(options)));
    // SAFETY: C gave the function for such a call, with this data, which is borrowed and so has not ended; the options live
    // until it returns. An exception that gets out of it ends the process.
    let code = caught(|| unsafe { configure(index, &raw mut *lent, foreign.data()) });
    *options = lent.into_inner();
    refused("configure", index, code?)
}

fn call_prepare(
    prepare: Prepare,
    index: usize,
    cluster: &Arc<ck_cluster_t>,
    foreign: &Foreign,
) -> Result<()> {
    let pointer = Arc::as_ptr(cluster).cast_mut();
    // SAFETY: as above; C's pointer to a node is that of an Arc, which lives until this returns.
    let code = caught(|| unsafe { prepare(index, pointer, foreign.data()) });
    refused("prepare", index, code?)
}

/// Makes options of a test cluster: three nodes, whose options are the defaults with the timing of wide networks.
///
/// out: set on success, to be freed with ck_testing_options_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_options_new(out: *mut *mut ck_testing_options_t) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            slot.put(ck_testing_options_t(Mutex::default()));
            Ok(())
        })
    }
}

/// Frees options of a test cluster. Test clusters made from them live on, and keep their callbacks. NULL is allowed.
///
/// options: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_options_free(options: *mut ck_testing_options_t) {
    // SAFETY: options that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(options, drop) };
}

/// Sets an option of a test cluster: "nodes", how many there are at first (1 to 1000, default 3); "seed", which decides what
/// slow links lose and what a killed node's disk keeps (default 0); "manual_clock", whether no time passes but by
/// ck_testing_advance and the calls that wait (default false). Every other name is an option of each node, as ck_options_set
/// takes it.
///
/// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_options_set(
    options: *mut ck_testing_options_t,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, and readable texts of these lengths, says the header.
        let (options, name, value) = unsafe {
            (
                borrow(options, "options")?,
                text(name, name_len, "name")?,
                text(value, value_len, "value")?,
            )
        };
        options.0.lock().set(name, value)
    })
}

/// Sets what is called with the options of each node before it is made. NULL, which is the default, for none.
///
/// options: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it is not NULL,
/// is called with it once, when these options, which may have another callback by then, and all test clusters made from them
/// are gone. On failure destroy is not called and user_data is still the caller's. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_options_set_configure(
    options: *mut ck_testing_options_t,
    callback: ck_testing_configure_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, says the header.
        let options = unsafe { borrow(options, "options") }?;
        let foreign = Arc::new(Foreign::new(user_data, destroy));
        foreign.claim().keep();
        let configure = callback.map(|callback| (callback, foreign));
        let earlier = std::mem::replace(&mut options.0.lock().configure, configure);
        drop(earlier);
        Ok(())
    })
}

/// Sets what is called with every process of a node before it is started. NULL, which is the default, for none.
///
/// options, callback, user_data, destroy: as for ck_testing_options_set_configure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_options_set_prepare(
    options: *mut ck_testing_options_t,
    callback: ck_testing_prepare_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, says the header.
        let options = unsafe { borrow(options, "options") }?;
        let foreign = Arc::new(Foreign::new(user_data, destroy));
        foreign.claim().keep();
        let prepare = callback.map(|callback| (callback, foreign));
        let earlier = std::mem::replace(&mut options.0.lock().prepare, prepare);
        drop(earlier);
        Ok(())
    })
}
