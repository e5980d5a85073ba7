//! Records: plain structs that the library owns and C reads, and everything that they point at.
//!
//! C reaches a record by a pointer only, and arrays of records by arrays of pointers, so that a later library can add
//! fields at the end of each without a program that was built before noticing.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::Arc;

use clusterkit::model::Node;

use super::guard;
use super::text::CText;
use crate::client::AddrList;
use crate::node::{Nodes, ck_node_t};
use crate::rebalance::StatusLists;

/// A record with what it points at. The record is the first field, so both have the same address.
#[repr(C)]
pub(crate) struct Record<P> {
    public: P,
    _keep: Keep,
}

impl<P> Record<P> {
    /// A record that its owner holds and C borrows.
    pub(crate) fn new(build: impl FnOnce(&mut Keep) -> P) -> Box<Self> {
        let mut keep = Keep::default();
        let public = build(&mut keep);
        Box::new(Record { public, _keep: keep })
    }

    /// Makes a record C's to free.
    pub(crate) fn give(build: impl FnOnce(&mut Keep) -> P) -> *mut P {
        Box::into_raw(Record::new(build)).cast()
    }

    /// Where C reads it: valid for as long as the box lives.
    pub(crate) fn as_ptr(&self) -> *const P {
        // Of the whole box, not of the field: the pointer may be given back to `take_back` of a record that was given.
        std::ptr::from_ref::<Self>(self).cast()
    }

    /// Takes a record back from C and frees it. It is memory and nothing else, so a forked child may free it, too.
    ///
    /// # Safety
    /// A pointer that is not NULL came from [`Record::give`], and is not used again.
    pub(crate) unsafe fn take_back(pointer: *mut P) {
        if !pointer.is_null() {
            // SAFETY: the caller's promise; the record is the first field of what was given.
            let owned = unsafe { Box::from_raw(pointer.cast::<Self>()) };
            drop(guard::caught(|| drop(owned)));
        }
    }
}

/// What the pointers of a record lead to: each on the heap, so that it stays where it is when this moves.
#[derive(Default)]
pub(crate) struct Keep {
    texts: Vec<CText>,
    text_lists: Vec<Vec<*const c_char>>,
    numbers: Vec<Vec<u32>>,
    nodes: Vec<Nodes>,
    status_lists: Vec<StatusLists>,
    addrs: Option<AddrList>,
}

// SAFETY: the pointers lead to what the value itself owns, and nobody writes it after it was made.
unsafe impl Send for Keep {}
// SAFETY: as above.
unsafe impl Sync for Keep {}

/// A pointer and a count for C: NULL where there is nothing.
pub(crate) fn list<T>(items: &[T]) -> (*const T, usize) {
    if items.is_empty() {
        return (null(), 0);
    }
    (items.as_ptr(), items.len())
}

impl Keep {
    pub(crate) fn text(&mut self, text: &str) -> *const c_char {
        let text = CText::new(text);
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }

    /// NULL for an empty text, where C tells "none" from a name.
    pub(crate) fn text_or_null(&mut self, text: &str) -> *const c_char {
        if text.is_empty() { null() } else { self.text(text) }
    }

    pub(crate) fn texts<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> (*const *const c_char, usize) {
        let pointers: Vec<_> = texts.into_iter().map(|text| self.text(text)).collect();
        let found = list(&pointers);
        self.text_lists.push(pointers);
        found
    }

    pub(crate) fn numbers(&mut self, numbers: Vec<u32>) -> (*const u32, usize) {
        let found = list(&numbers);
        self.numbers.push(numbers);
        found
    }

    pub(crate) fn nodes<'a>(
        &mut self,
        nodes: impl IntoIterator<Item = &'a Arc<Node>>,
    ) -> (*const *const ck_node_t, usize) {
        let nodes = Nodes::new(nodes);
        let found = list(nodes.pointers());
        self.nodes.push(nodes);
        found
    }

    pub(crate) fn lists(&mut self, lists: StatusLists) {
        self.status_lists.push(lists);
    }

    pub(crate) fn addrs(&mut self, addrs: AddrList) {
        self.addrs = Some(addrs);
    }

    pub(crate) fn node(&mut self, node: Option<&Arc<Node>>) -> *const ck_node_t {
        let nodes = Nodes::new(node);
        let pointer = nodes.get(0);
        self.nodes.push(nodes);
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, text_at};

    #[repr(C)]
    struct Public {
        name: *const c_char,
        names: *const *const c_char,
        name_count: usize,
        node: *const ck_node_t,
        numbers: *const u32,
        number_count: usize,
    }

    #[test]
    fn what_a_record_points_at_lives_until_it_is_freed() {
        let given = Record::give(|keep| {
            let (names, name_count) = keep.texts(["a", ""]);
            let (numbers, number_count) = keep.numbers(vec![7, 9]);
            Public {
                name: keep.text("name"),
                names,
                name_count,
                node: keep.node(Some(&Arc::new(node("n")))),
                numbers,
                number_count,
            }
        });
        // SAFETY: a live record, freed at the end.
        unsafe {
            let public = &*given;
            assert_eq!(text_at(public.name), "name");
            let names = std::slice::from_raw_parts(public.names, public.name_count);
            assert_eq!(
                names.iter().map(|name| text_at(*name)).collect::<Vec<_>>(),
                ["a", ""]
            );
            assert_eq!(text_at((*public.node).id), "n");
            assert_eq!(
                std::slice::from_raw_parts(public.numbers, public.number_count),
                [7, 9]
            );
            Record::take_back(given);
            Record::<Public>::take_back(std::ptr::null_mut());
        }
    }

    #[test]
    fn nothing_is_null_and_zero() {
        let mut keep = Keep::default();
        assert_eq!(keep.texts([]), (null(), 0));
        assert_eq!(keep.numbers(Vec::new()), (null(), 0));
        assert_eq!(keep.nodes([]), (null(), 0));
        assert!(keep.node(None).is_null() && keep.text_or_null("").is_null());
    }
}
