//! What one input does: it chooses functions and arguments by its bytes, and keeps what the functions gave.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::callbacks::{self, UserData, check_text};
use crate::world;

unsafe extern "C" {
    fn ck_error_code(error: *const c_void) -> i32;
    fn ck_error_name(error: *const c_void) -> *const c_char;
    fn ck_error_message(error: *const c_void) -> *const c_char;
    fn ck_error_code_name(code: i32) -> *const c_char;
    fn ck_error_free(error: *mut c_void);
    fn ck_text_free(value: *mut c_void);
    fn ck_strings_free(value: *mut c_void);
    fn ck_numbers_free(value: *mut c_void);
    fn ck_options_free(value: *mut c_void);
    fn ck_cluster_free(value: *mut c_void);
    fn ck_view_release(value: *mut c_void);
    fn ck_leader_info_free(value: *mut c_void);
    fn ck_consensus_stats_free(value: *mut c_void);
    fn ck_metrics_free(value: *mut c_void);
    fn ck_health_status_free(value: *mut c_void);
    fn ck_node_health_free(value: *mut c_void);
    fn ck_hook_stats_free(value: *mut c_void);
    fn ck_rebalance_status_free(value: *mut c_void);
    fn ck_data_free(value: *mut c_void);
    fn ck_completion_end(value: *mut c_void, result: i32, reason: *const c_char, reason_len: usize);
    fn ck_events_close(value: *mut c_void);
    fn ck_client_options_free(value: *mut c_void);
    fn ck_client_free(value: *mut c_void);
    fn ck_client_status_free(value: *mut c_void);
    fn ck_testing_options_free(value: *mut c_void);
    fn ck_testing_free(value: *mut c_void);
}

/// CK_ERROR_INTERNAL: a defect.
const INTERNAL: i32 = 31;
/// Room for everything that a call fills.
const ROOM: usize = 256;
/// What a place holds before a call: no call may leave it there on failure.
const POISON: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Texts that some function understands.
const TEXTS: [&[u8]; 20] = [
    b"",
    b"founder",
    b"node-0",
    b"node-1",
    b"partition-5",
    b"node_id",
    b"http_addr",
    b"data_dir",
    b"partition_count",
    b"addrs",
    b"nodes",
    b"127.0.0.1:0",
    b"5s",
    b"1",
    b"{\"node_id\":\"n\",\"labels\":{\"a\":\"b\"}}",
    b"a/b",
    b"a\0b",
    b"\xff\xfe",
    b"/nowhere",
    b"\xf0\x9f\x92\xa9",
];

/// Something that a call gave.
struct Held {
    kind: &'static str,
    value: *mut c_void,
    /// Later inputs use it.
    is_shared: bool,
    /// An event's queue.
    of: *mut c_void,
}

#[repr(C)]
struct Bytes {
    data: *const c_void,
    len: usize,
}

pub(crate) struct Chosen {
    pub(crate) is_own: bool,
    pub(crate) may_be_slow: bool,
    pub(crate) number: u8,
}

pub(crate) struct Player<'a> {
    input: &'a [u8],
    call: &'static str,
    held: Vec<Held>,
    /// What the arguments of the present call point to. Of exactly their size: a byte beyond it is seen.
    texts: Vec<Box<[u8]>>,
    keys: Vec<Bytes>,
    places: Vec<Box<u64>>,
    rooms: Vec<Box<[u64]>>,
    indexes: Box<[usize]>,
    /// What is said of an argument before the call asks for it.
    len: usize,
    room_len: usize,
    user_data: *mut c_void,
    takes_destroy: bool,
    has_destroy: bool,
    is_done: bool,
}

impl<'a> Player<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        let shared = |(kind, value)| Held {
            kind,
            value,
            is_shared: true,
            of: null_mut(),
        };
        Player {
            input,
            call: "",
            held: world::handles().into_iter().map(shared).collect(),
            texts: Vec::new(),
            keys: Vec::new(),
            places: Vec::new(),
            rooms: Vec::new(),
            indexes: Box::default(),
            len: 0,
            room_len: 0,
            user_data: null_mut(),
            takes_destroy: false,
            has_destroy: false,
            is_done: false,
        }
    }

    fn byte(&mut self) -> u8 {
        match self.input.split_first() {
            Some((first, rest)) => {
                self.input = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next function; `None` at the end of the input.
    pub(crate) fn next_call(&mut self) -> Option<Chosen> {
        if self.input.is_empty() {
            return None;
        }
        let how = self.byte();
        Some(Chosen {
            is_own: how % 4 != 0,
            may_be_slow: how >= 0xf8,
            number: self.byte(),
        })
    }

    pub(crate) fn begin(&mut self, call: &'static str, takes_destroy: bool) {
        self.call = call;
        self.takes_destroy = takes_destroy;
    }

    fn wrong(&self, what: &str) -> ! {
        panic!("{}: {what}", self.call);
    }

    // ---- Arguments. ----

    fn find(&mut self, kind: &str, only_own: bool) -> Option<usize> {
        let fits = |held: &Held| held.kind == kind && !(only_own && held.is_shared);
        let found: Vec<usize> = (0..self.held.len())
            .filter(|index| fits(&self.held[*index]))
            .collect();
        let choice = usize::from(self.byte());
        // Now and then NULL.
        if found.is_empty() || choice % 16 == 15 {
            return None;
        }
        Some(found[choice % found.len()])
    }

    pub(crate) fn handle(&mut self, kind: &str, only_own: bool) -> *mut c_void {
        self.find(kind, only_own)
            .map_or(null_mut(), |index| self.held[index].value)
    }

    /// A handle that the call consumes.
    pub(crate) fn last_use(&mut self, kind: &str, only_own: bool) -> *mut c_void {
        let Some(index) = self.find(kind, only_own) else {
            return null_mut();
        };
        let held = self.held.swap_remove(index);
        self.forget_events_of(held.value);
        held.value
    }

    /// An event of any queue: the wrong one is refused.
    pub(crate) fn event_of(&mut self, _queue: *mut c_void) -> *mut c_void {
        self.handle("ck_event_t", false)
    }

    /// The events of a queue end with it.
    fn forget_events_of(&mut self, queue: *mut c_void) {
        self.held.retain(|held| held.of.is_null() || held.of != queue);
    }

    pub(crate) fn bytes(&mut self) -> *mut c_void {
        let kind = self.byte();
        let text: Box<[u8]> = match kind {
            // A length without a text.
            0xfe => {
                self.len = 3;
                return null_mut();
            }
            0xff => {
                self.len = 0;
                return null_mut();
            }
            0xc0.. => {
                let len = usize::from(kind % 32).min(self.input.len());
                let (text, rest) = self.input.split_at(len);
                self.input = rest;
                text.into()
            }
            0xbf => vec![b'x'; 70_000].into(),
            known => TEXTS[usize::from(known) % TEXTS.len()].into(),
        };
        self.len = text.len();
        self.texts.push(text);
        self.texts
            .last_mut()
            .map_or(null_mut(), |text| text.as_mut_ptr().cast())
    }

    pub(crate) fn len(&mut self) -> usize {
        self.len
    }

    pub(crate) fn keys(&mut self) -> *mut c_void {
        for _ in 0..self.byte() % 40 {
            let data = self.bytes();
            // Here a key of no bytes may be NULL, and no other.
            let len = if data.is_null() { 0 } else { self.len };
            self.keys.push(Bytes { data, len });
        }
        self.len = self.keys.len();
        self.keys.as_mut_ptr().cast()
    }

    pub(crate) fn count(&mut self) -> usize {
        self.len
    }

    /// Room for a number for each of the keys.
    pub(crate) fn numbers(&mut self) -> *mut c_void {
        self.fresh_room(self.len * 4)
    }

    pub(crate) fn indexes(&mut self) -> *mut c_void {
        self.len = usize::from(self.byte() % 4);
        self.indexes = (0..self.len).map(|_| usize::from(self.byte() % 5)).collect();
        self.indexes.as_mut_ptr().cast()
    }

    fn fresh_room(&mut self, bytes: usize) -> *mut c_void {
        self.room_len = bytes;
        self.rooms.push(vec![POISON; bytes.div_ceil(8)].into());
        self.rooms
            .last_mut()
            .map_or(null_mut(), |room| room.as_mut_ptr().cast())
    }

    /// Room for text or a struct, and for less than it.
    pub(crate) fn room(&mut self) -> *mut c_void {
        let bytes = usize::from(self.byte()) % (ROOM / 8) * 8;
        self.fresh_room(bytes)
    }

    pub(crate) fn node_room(&mut self) -> *mut c_void {
        let nodes = usize::from(self.byte() % 4);
        let room = self.fresh_room(nodes * 8);
        self.room_len = nodes;
        room
    }

    pub(crate) fn room_len(&mut self) -> usize {
        self.room_len
    }

    /// A place for what a call gives.
    pub(crate) fn out(&mut self) -> *mut c_void {
        if self.byte() % 8 == 7 {
            return null_mut();
        }
        self.places.push(Box::new(POISON));
        self.places
            .last_mut()
            .map_or(null_mut(), |place| std::ptr::from_mut(&mut **place).cast())
    }

    /// A place that holds a handle, or NULL, which the call replaces.
    pub(crate) fn place(&mut self, kind: &'static str) -> *mut c_void {
        let place = self.out();
        let held = match self.find(kind, true) {
            Some(index) if !place.is_null() => self.held.swap_remove(index).value,
            _ => null_mut(),
        };
        if !place.is_null() {
            // SAFETY: it is one of the places.
            unsafe { *place.cast::<*mut c_void>() = held };
        }
        place
    }

    pub(crate) fn placed(&mut self, kind: &'static str) {
        // The last place that was made.
        let Some(place) = self.places.last() else {
            return;
        };
        let value = std::ptr::with_exposed_provenance_mut::<c_void>(usize::try_from(**place).unwrap_or(0));
        self.places.clear();
        self.keep(kind, value);
    }

    /// Milliseconds that a call may wait.
    pub(crate) fn short(&mut self) -> u32 {
        u32::from(self.byte() % 6)
    }

    pub(crate) fn index(&mut self) -> usize {
        match self.byte() {
            0xff => usize::MAX,
            index => usize::from(index % 24),
        }
    }

    pub(crate) fn small(&mut self) -> u32 {
        match self.byte() {
            0xff => u32::MAX,
            0xfe => 1 << 31,
            0xf0..=0xfd => 1 << (self.byte() % 32),
            number => u32::from(number % 24),
        }
    }

    pub(crate) fn long(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::MAX,
            0xfe => u64::MAX - 1,
            number => u64::from(number),
        }
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(crate) fn user_data(&mut self) -> *mut c_void {
        let kind = self.byte();
        self.has_destroy = self.takes_destroy && kind % 2 == 0;
        self.user_data = if self.has_destroy {
            UserData::new(kind / 2 % 4)
        } else {
            UserData::eternal(kind / 2 % 4)
        };
        self.user_data
    }

    pub(crate) fn destroy(&mut self) -> *mut c_void {
        match self.has_destroy {
            true => callbacks::destroy as *mut c_void,
            false => null_mut(),
        }
    }

    fn callback(&mut self, callback: *mut c_void) -> *mut c_void {
        if self.byte() % 16 == 15 {
            null_mut()
        } else {
            callback
        }
    }

    pub(crate) fn done(&mut self) -> *mut c_void {
        self.is_done = true;
        self.callback(callbacks::done as *mut c_void)
    }

    pub(crate) fn hook(&mut self) -> *mut c_void {
        self.callback(callbacks::hook as *mut c_void)
    }

    pub(crate) fn log(&mut self) -> *mut c_void {
        self.callback(callbacks::log as *mut c_void)
    }

    pub(crate) fn change(&mut self) -> *mut c_void {
        self.callback(callbacks::change as *mut c_void)
    }

    pub(crate) fn prepare(&mut self) -> *mut c_void {
        self.callback(callbacks::prepare as *mut c_void)
    }

    pub(crate) fn condition(&mut self) -> *mut c_void {
        self.callback(callbacks::condition as *mut c_void)
    }

    // ---- Answers. ----

    pub(crate) fn keep(&mut self, kind: &'static str, value: *mut c_void) {
        if !value.is_null() {
            self.held.push(Held {
                kind,
                value,
                is_shared: false,
                of: null_mut(),
            });
        }
    }

    /// What a call gave at a place: nothing where it failed.
    pub(crate) fn took(&mut self, kind: &'static str, place: *mut c_void, failed: bool) {
        if place.is_null() {
            return;
        }
        // SAFETY: it is one of the places.
        let value = unsafe { *place.cast::<*mut c_void>() };
        if failed && !value.is_null() {
            self.wrong("it failed, and gave something");
        }
        self.keep(kind, value);
    }

    /// The same for an event, which belongs to its queue.
    pub(crate) fn took_event(&mut self, place: *mut c_void, queue: *mut c_void, failed: bool) {
        self.took("ck_event_t", place, failed);
        if let Some(held) = self
            .held
            .last_mut()
            .filter(|held| held.kind == "ck_event_t" && held.of.is_null())
        {
            held.of = queue;
        }
    }

    /// A number that a call wrote: all of its bytes are 0 where it failed.
    pub(crate) fn written(&mut self, place: *mut c_void, failed: bool) {
        // SAFETY: it is NULL or one of the places; the least of its bytes belongs to a number of any size.
        if failed && !place.is_null() && unsafe { *place.cast::<u8>() } != 0 {
            self.wrong("it failed, and left a number");
        }
    }

    pub(crate) fn failed(&mut self, error: *mut c_void) {
        if error.is_null() {
            return;
        }
        // SAFETY: it is an error, which is kept for later calls.
        unsafe {
            let code = ck_error_code(error);
            check_text(ck_error_name(error));
            check_text(ck_error_message(error));
            if code == 0 || code == INTERNAL || ck_error_code_name(code).is_null() {
                let message = std::ffi::CStr::from_ptr(ck_error_message(error));
                self.wrong(&format!("code {code}, {}", message.to_string_lossy()));
            }
        }
        match self.held.iter().filter(|held| held.kind == "ck_error_t").count() {
            0..8 => self.keep("ck_error_t", error),
            // SAFETY: nobody else has it.
            _ => unsafe { ck_error_free(error) },
        }
    }

    /// Bytes, with their number at a place.
    pub(crate) fn read(&mut self, data: *const impl Sized, place: *mut c_void, size: usize) {
        if data.is_null() || place.is_null() {
            return;
        }
        // SAFETY: the place holds a number, and so many of them are there.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), *place.cast::<usize>() * size) };
        std::hint::black_box(bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    }

    pub(crate) fn text(&mut self, text: *const impl Sized) {
        // SAFETY: it is NULL or a text.
        unsafe { check_text(text.cast()) };
    }

    /// ck_node_t begins with its id.
    pub(crate) fn node(&mut self, node: *const impl Sized) {
        if !node.is_null() {
            // SAFETY: it is a node.
            unsafe { check_text(*node.cast::<*const c_char>()) };
        }
    }

    /// After a call, and what was looked at.
    pub(crate) fn called(&mut self, failed: bool) {
        if self.is_done && !failed {
            callbacks::BEGUN.fetch_add(1, Ordering::SeqCst);
        }
        if self.has_destroy && failed {
            // SAFETY: what a call has not taken is its caller's.
            unsafe { callbacks::destroy(self.user_data) };
        }
        if self.call == "ck_events_ack" && !failed {
            self.forget_acknowledged();
        }
        (self.has_destroy, self.is_done, self.len, self.room_len) = (false, false, 0, 0);
        self.texts.clear();
        self.keys.clear();
        self.places.clear();
        self.rooms.clear();
    }

    /// Which event it was, is not known any more: all of them are left alone from now on.
    fn forget_acknowledged(&mut self) {
        self.held.retain(|held| held.kind != "ck_event_t");
    }

    /// Frees what is left, and waits for what was begun.
    pub(crate) fn end(mut self) {
        // Events first go with their queues; shares of what later inputs use are freed like all others.
        for held in std::mem::take(&mut self.held) {
            // SAFETY: this is the last use of each.
            unsafe {
                match held.kind {
                    "ck_error_t" => ck_error_free(held.value),
                    "ck_text_t" => ck_text_free(held.value),
                    "ck_strings_t" => ck_strings_free(held.value),
                    "ck_numbers_t" => ck_numbers_free(held.value),
                    "ck_options_t" => ck_options_free(held.value),
                    "ck_cluster_t" => ck_cluster_free(held.value),
                    "ck_view_t" => ck_view_release(held.value),
                    "ck_leader_info_t" => ck_leader_info_free(held.value),
                    "ck_consensus_stats_t" => ck_consensus_stats_free(held.value),
                    "ck_metrics_t" => ck_metrics_free(held.value),
                    "ck_health_status_t" => ck_health_status_free(held.value),
                    "ck_node_health_t" => ck_node_health_free(held.value),
                    "ck_hook_stats_list_t" => ck_hook_stats_free(held.value),
                    "ck_rebalance_status_t" => ck_rebalance_status_free(held.value),
                    "ck_data_t" => ck_data_free(held.value),
                    "ck_completion_t" => ck_completion_end(held.value, 1, std::ptr::null(), 0),
                    "ck_events_t" => ck_events_close(held.value),
                    "ck_client_options_t" => ck_client_options_free(held.value),
                    "ck_client_t" => ck_client_free(held.value),
                    "ck_client_status_t" => ck_client_status_free(held.value),
                    "ck_testing_options_t" => ck_testing_options_free(held.value),
                    "ck_testing_t" if held.is_shared => {}
                    "ck_testing_t" => ck_testing_free(held.value),
                    "ck_event_t" => {}
                    kind => panic!("nobody knows how {kind} is freed"),
                }
            }
        }
        let end = Instant::now() + Duration::from_secs(10);
        while callbacks::TOLD.load(Ordering::SeqCst) < callbacks::BEGUN.load(Ordering::SeqCst) {
            assert!(Instant::now() < end, "a call that was begun was not told");
            std::thread::yield_now();
        }
        assert_eq!(
            callbacks::TOLD.load(Ordering::SeqCst),
            callbacks::BEGUN.load(Ordering::SeqCst),
            "a call was told twice"
        );
    }
}
