//! Lookups: where a key belongs, and what this node may do with it at this moment.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use clusterkit::model::Role;
use clusterkit::routing::{ClusterView, partition_for, partitions_for_many};
use clusterkit::{Client, ClusterKit};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;

use crate::error::{self as js, refused};
use crate::node::NativeNode;
use crate::raw::{Call, Functions, Refused, object, raw_function};
use crate::slot::Slot;
use crate::view::{NativeView, address};

const PARTITION: &str = "a partition is a whole number from 0";

/// A role as the front reads it: an index into its names.
fn role_number(role: Option<Role>) -> u32 {
    match role {
        None => 0,
        Some(Role::Primary) => 1,
        Some(Role::Replica) => 2,
    }
}

/// What the lookups of a node ask.
struct NodeLookups {
    slot: Slot<ClusterKit>,
    /// The view of the last route, for the front to take.
    last: RefCell<Option<Arc<ClusterView>>>,
}

impl NodeLookups {
    fn ask<T>(&self, otherwise: T, ask: impl FnOnce(&ClusterKit) -> T) -> T {
        self.slot.ask(ask).unwrap_or(otherwise)
    }
}

raw_function!(is_primary, NodeLookups, |call, lookups| {
    let number = call.number(0, PARTITION)?;
    Ok(call.boolean(lookups.ask(false, |node| node.is_primary(number))))
});
raw_function!(is_primary_for_key, NodeLookups, |call, lookups| {
    let answer = call.with_key(0, |key| lookups.ask(false, |node| node.is_primary_for_key(key)))?;
    Ok(call.boolean(answer))
});
raw_function!(role, NodeLookups, |call, lookups| {
    let number = call.number(0, PARTITION)?;
    Ok(call.integer(lookups.ask(0, |node| role_number(node.role(number)))))
});
raw_function!(role_for_key, NodeLookups, |call, lookups| {
    let answer = call.with_key(0, |key| {
        lookups.ask(0, |node| role_number(node.should_handle_key(key)))
    })?;
    Ok(call.integer(answer))
});
raw_function!(partition_for_key, NodeLookups, |call, lookups| {
    let answer = call.with_key(0, |key| lookups.ask(None, |node| node.partition_number(key)))?;
    Ok(call.integer_or_null(answer))
});
raw_function!(partitions_for_keys, NodeLookups, |call, lookups| {
    let mut numbers = Vec::new();
    let routed = call.with_keys(0, |keys| {
        lookups.ask(false, |node| node.view().route_many(keys, &mut numbers))
    })?;
    if routed {
        call.integers(&numbers)
    } else {
        Ok(call.null())
    }
});
raw_function!(is_leased, NodeLookups, |call, lookups| {
    Ok(call.boolean(lookups.ask(false, ClusterKit::is_leased)))
});
raw_function!(is_leader, NodeLookups, |call, lookups| {
    Ok(call.boolean(lookups.ask(false, ClusterKit::is_leader)))
});
raw_function!(
    /// The identity of the present view.
    view_id,
    NodeLookups,
    |call, lookups| Ok(call.float(lookups.ask(0.0, |node| address(&raw const *node.view()))))
);
raw_function!(
    /// Where a key belongs, with this node's role by its lease: fills a Float64Array with partition and role, and returns the
    /// identity of the view that it was taken from, which `lastView` gives. `null` before there are partitions.
    route,
    NodeLookups,
    |call, lookups| {
        let found = call.with_key(0, |key| {
            lookups.ask(None, |node| {
                let leased = node.leased_view();
                let partition = leased.view().partition(key)?;
                let answer = [f64::from(partition.number()), f64::from(role_number(leased.role(&partition)))];
                let id = address(leased.view());
                let mut last = lookups.last.borrow_mut();
                if last.as_deref().is_none_or(|last| !std::ptr::eq(last, leased.view())) {
                    *last = Some(leased.into_view());
                }
                Some((answer, id))
            })
        })?;
        let Some((answer, id)) = found else {
            return Ok(call.null());
        };
        call.fill(1, &answer)?;
        Ok(call.float(id))
    }
);

const NODE_LOOKUPS: &Functions = &[
    (c"isPrimary", Some(is_primary)),
    (c"isPrimaryForKey", Some(is_primary_for_key)),
    (c"role", Some(role)),
    (c"roleForKey", Some(role_for_key)),
    (c"partitionForKey", Some(partition_for_key)),
    (c"partitionsForKeys", Some(partitions_for_keys)),
    (c"isLeased", Some(is_leased)),
    (c"isLeader", Some(is_leader)),
    (c"viewId", Some(view_id)),
    (c"route", Some(route)),
];

/// The lookups of a node, for the front.
#[napi]
pub struct NativeLookups(Rc<NodeLookups>);

#[napi]
impl NativeLookups {
    #[napi(constructor, catch_unwind)]
    pub fn new(node: &NativeNode) -> Self {
        NativeLookups(Rc::new(NodeLookups {
            slot: node.slot.clone(),
            last: RefCell::default(),
        }))
    }

    /// An object with the functions.
    #[napi(catch_unwind)]
    pub fn functions<'env>(&self, env: &'env Env) -> js::Result<Object<'env>> {
        let functions = object(env.raw(), &self.0, NODE_LOOKUPS).map_err(|error| refused(&error))?;
        Ok(Object::from_raw(env.raw(), functions))
    }

    /// The view of the last route.
    #[napi(catch_unwind)]
    pub fn last_view(&self) -> Option<NativeView> {
        self.0.last.borrow().clone().map(NativeView::new)
    }
}

raw_function!(view_partition_for_key, Arc<ClusterView>, |call, view| {
    let answer = call.with_key(0, |key| view.partition(key).map(|partition| partition.number()))?;
    Ok(call.integer_or_null(answer))
});
raw_function!(view_partitions_for_keys, Arc<ClusterView>, |call, view| {
    let mut numbers = Vec::new();
    let routed = call.with_keys(0, |keys| view.route_many(keys, &mut numbers))?;
    if routed {
        call.integers(&numbers)
    } else {
        Ok(call.null())
    }
});

const VIEW_LOOKUPS: &Functions = &[
    (c"partitionForKey", Some(view_partition_for_key)),
    (c"partitionsForKeys", Some(view_partitions_for_keys)),
];

/// The lookups of a view.
#[napi(catch_unwind)]
pub fn view_lookups<'env>(env: &'env Env, view: &NativeView) -> js::Result<Object<'env>> {
    let functions =
        object(env.raw(), &Rc::new(view.view.clone()), VIEW_LOOKUPS).map_err(|error| refused(&error))?;
    Ok(Object::from_raw(env.raw(), functions))
}

raw_function!(client_view_id, Slot<Client>, |call, slot| {
    let id = slot.ask(|client| address(&raw const *client.view()));
    Ok(call.float(id.unwrap_or(0.0)))
});

const CLIENT_LOOKUPS: &Functions = &[(c"viewId", Some(client_view_id))];

/// The lookups of a client.
pub(crate) fn client_lookups<'env>(env: &'env Env, client: &Slot<Client>) -> js::Result<Object<'env>> {
    let functions =
        object(env.raw(), &Rc::new(client.clone()), CLIENT_LOOKUPS).map_err(|error| refused(&error))?;
    Ok(Object::from_raw(env.raw(), functions))
}

const COUNT: &str = "a count of partitions is a whole number from 1";

fn count_of(call: &Call) -> Result<u32, Refused> {
    let count = call.number(1, COUNT)?;
    if count == 0 {
        Err(Refused(COUNT))
    } else {
        Ok(count)
    }
}

raw_function!(hash_partition, (), |call, ()| {
    let count = count_of(call)?;
    let answer = call.with_key(0, |key| partition_for(key, count))?;
    Ok(call.integer(answer))
});
raw_function!(hash_partitions, (), |call, ()| {
    let count = count_of(call)?;
    let numbers = call.with_keys(0, |keys| {
        let keys: Vec<&[u8]> = keys.collect();
        let mut numbers = vec![0; keys.len()];
        partitions_for_many(keys, count, &mut numbers);
        numbers
    })?;
    call.integers(&numbers)
});

const HASHES: &Functions = &[
    (c"partitionFor", Some(hash_partition)),
    (c"partitionsFor", Some(hash_partitions)),
];

/// The arithmetic from key to partition.
#[napi(catch_unwind)]
pub fn hashes(env: &Env) -> js::Result<Object<'_>> {
    let functions = object(env.raw(), &Rc::new(()), HASHES).map_err(|error| refused(&error))?;
    Ok(Object::from_raw(env.raw(), functions))
}
