//! The replicated store.

use bytes::Bytes;
use clusterkit::Expect;
use napi::bindgen_prelude::{BigInt, Buffer, Uint8Array};
use napi_derive::napi;

use crate::calls::CallId;
use crate::error::{self as js, thrown};
use crate::json::json;
use crate::node::{NativeNode, exact, millis, revision};

/// A value with the revision that wrote it.
#[napi(object, object_from_js = false)]
pub struct NativeEntry {
    pub value: Buffer,
    pub revision: BigInt,
}

/// What a write expects to find: anything, nothing, or what this revision wrote.
fn expectation(absent: bool, revision: Option<BigInt>) -> js::Result<Expect> {
    Ok(match revision {
        Some(revision) => Expect::Revision(exact(&revision, "expect")?),
        None if absent => Expect::Absent,
        None => Expect::Any,
    })
}

#[napi]
impl NativeNode {
    #[napi(catch_unwind)]
    pub fn set_data(
        &self,
        id: CallId,
        key: String,
        value: Uint8Array,
        absent: bool,
        expected: Option<BigInt>,
        timeout: f64,
    ) -> js::Result<()> {
        let expect = expectation(absent, expected)?;
        // Copied: JavaScript may change it while the call is under way.
        let value = Bytes::copy_from_slice(&value);
        self.begin(
            id,
            move |node| async move { node.set_custom_data(&key, value, expect, millis(timeout)).await },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn delete_data(
        &self,
        id: CallId,
        key: String,
        absent: bool,
        expected: Option<BigInt>,
        timeout: f64,
    ) -> js::Result<()> {
        let expect = expectation(absent, expected)?;
        self.begin(
            id,
            move |node| async move { node.delete_custom_data(&key, expect, millis(timeout)).await },
            |done| json(&done),
        )
    }

    #[napi(catch_unwind)]
    pub fn data(&self, key: String) -> js::Result<Option<NativeEntry>> {
        let entry = self.slot.get()?.custom_data(&key);
        Ok(entry.map(|entry| NativeEntry {
            value: entry.value.to_vec().into(),
            revision: entry.revision.into(),
        }))
    }

    #[napi(catch_unwind)]
    pub fn data_keys(&self, prefix: String, after: Option<String>, limit: u32) -> js::Result<Vec<String>> {
        let node = self.slot.get()?;
        Ok(node.list_custom_data_keys(&prefix, after.as_deref(), limit as usize))
    }

    #[napi(catch_unwind)]
    pub fn wait_for_revision(&self, id: CallId, wanted: BigInt, timeout: f64) -> js::Result<()> {
        let wanted = exact(&wanted, "revision")?;
        self.begin(
            id,
            move |node| async move { node.wait_for_revision(wanted, millis(timeout)).await },
            |()| "null".to_owned(),
        )
    }

    #[napi(catch_unwind)]
    pub fn read_barrier(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.read_barrier(millis(timeout)).await },
            revision,
        )
    }
}

/// A duration in milliseconds from text such as `1m30s`.
#[napi(catch_unwind)]
pub fn parse_duration(text: String) -> js::Result<f64> {
    let parsed = clusterkit::parse_duration(&text);
    parsed
        .map(|duration| duration.as_secs_f64() * 1000.0)
        .ok_or_else(|| {
            let message = format!("{text:?} is no duration; write it like \"5s\", \"500ms\" or \"1m30s\"");
            thrown(&clusterkit::Error::new(
                clusterkit::ErrorCode::InvalidArgument,
                message,
            ))
        })
}
