"""A service that keeps keys with values on several nodes: PUT and GET /kv/KEY on any of them.

ClusterKit says which node a key belongs to; the node that is asked forwards the request there. Each node is a process:

    export CLUSTERKIT_NODE_ID=node-1 CLUSTERKIT_HTTP_ADDR=127.0.0.1:8081 CLUSTERKIT_SERVICES=kv=127.0.0.1:9081
    uvicorn service:app --port 9081

    export CLUSTERKIT_NODE_ID=node-2 CLUSTERKIT_HTTP_ADDR=127.0.0.1:8082 CLUSTERKIT_SERVICES=kv=127.0.0.1:9082
    CLUSTERKIT_JOIN_ADDRS=127.0.0.1:8081 uvicorn service:app --port 9082

    curl -X PUT 127.0.0.1:9081/kv/user:1 --data hello; curl 127.0.0.1:9082/kv/user:1

One worker a node: several would be as many nodes of one name. Values are in memory, and on two nodes each with
CLUSTERKIT_REPLICATION_FACTOR=2: what both lose at the same time is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from store import Entry, Fenced, PartitionCopy, Store

import clusterkit
from clusterkit import Node, NodeStatus, OptionSet, PartitionChangeEvent, Role, RoleChange
from clusterkit.aio import AsyncClusterKit

# Where other nodes find this service: in the services of a node's record.
SERVICE = "kv"
# Set on what one node forwards to another: it is not forwarded once more.
FORWARDED_BY = "kv-forwarded-by"
# Says which node has answered.
ANSWERED_BY = "kv-node"
TIMEOUT = 10.0

# What the service keeps is in memory: so is the membership, and a node that restarts is empty for both.
node = AsyncClusterKit.from_options(OptionSet().load_env().set("data_dir", ""))
store = Store()
http = httpx.AsyncClient(timeout=TIMEOUT)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """The node starts and stops with the server."""
    async with http, node:
        yield


app = FastAPI(lifespan=lifespan)


class Unavailable(Exception):
    """Roles move, and come to rest: the client tries again."""


@app.exception_handler(ClientDisconnect)  # it has ended in the middle of its request
@app.exception_handler(Unavailable)
@app.exception_handler(clusterkit.Error)
@app.exception_handler(httpx.HTTPError)
async def unavailable(_request: Request, raised: Exception) -> Response:
    """503, and why."""
    return Response(f"{type(raised).__name__}: {raised}", 503, {"Retry-After": "1", ANSWERED_BY: node.node_id})


# ---- the hook: data moves ----


@node.on_partition_change
async def copy_partition(event: PartitionChangeEvent) -> None:
    """Copies what this node gains, and drops what it loses. When it has returned, the cluster counts on the copy."""
    if event.node_id != node.node_id:
        return
    match event.change:
        case RoleChange.GAINED_PRIMARY:
            store.fence(event.number, event.epoch)
        case RoleChange.GAINED_REPLICA if event.copy_from_nodes:
            # From all of them: the primary has the newest writes, and is not always there.
            copies = [copy_from(source, event) for source in event.copy_from_nodes]
            outcomes = await asyncio.gather(*copies, return_exceptions=True)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            if len(failures) == len(outcomes):
                raise failures[0]
        case RoleChange.LOST_COPY:
            store.drop(event.number)


async def copy_from(source: Node, event: PartitionChangeEvent) -> None:
    """Copies a partition from one node."""
    # Once the other knows that this node copies, it sends its new writes here, too: nothing falls between.
    answer = await http.get(url_of(source, f"/partitions/{event.number}?revision={event.revision}"))
    answer.raise_for_status()
    store.take(event.number, PartitionCopy.model_validate_json(answer.content))


def url_of(member: Node, path: str) -> str:
    """A path of the service on a node."""
    return f"http://{member.services[SERVICE]}{path}"


# ---- for everybody ----


@app.put("/kv/{key:path}")
async def put(key: str, request: Request) -> Response:
    """Writes a value on the primary, and on every other copy."""
    body = await request.body()
    number = await owned(key, request)
    if isinstance(number, Response):
        return number
    await write(number, key, body.decode())
    return Response(status_code=204, headers={ANSWERED_BY: node.node_id})


@app.get("/kv/{key:path}")
async def get(key: str, request: Request) -> Response:
    """Reads a value on the primary."""
    number = await owned(key, request)
    if isinstance(number, Response):
        return number
    found = store.partition(number).entries.get(key)
    # The lease may have ended while it was read.
    if not node.is_primary(number):
        raise Unavailable("the partition is moving")
    if found is None:
        return Response(status_code=404, headers={ANSWERED_BY: node.node_id})
    return Response(found.value, media_type="text/plain", headers={ANSWERED_BY: node.node_id})


async def owned(key: str, request: Request) -> int | Response:
    """The key's partition, where this node is its primary; otherwise what the primary answers."""
    route = node.lookup(key)
    if route.role is Role.PRIMARY:
        return route.partition
    if route.primary is None:
        raise Unavailable(f"partition {route.partition} has no primary at this moment")
    if FORWARDED_BY in request.headers or route.primary.id == node.node_id:
        raise Unavailable(f"partition {route.partition} is moving")
    url = url_of(route.primary, f"/kv/{quote(key, safe='')}")
    answer = await http.request(request.method, url, content=await request.body(), headers={FORWARDED_BY: node.node_id})
    kept = {name: value for name, value in answer.headers.items() if name in (ANSWERED_BY, "content-type", "retry-after")}
    return Response(answer.content, answer.status_code, kept)


async def write(number: int, key: str, value: str) -> None:
    """Writes here and on every other copy. When it fails, some may have the write: the client writes again."""
    # Right before the write: a lease may have ended while the value was read.
    try:
        written = store.write(number, node.primary_epoch(number), key, value)
    except Fenced:
        raise Unavailable("a later primary has written here") from None
    # After the write here: a node that begins to copy now copies it, and one that has begun is known.
    view = node.view()
    await asyncio.gather(*(replicate(other, key, written) for other in (*view.replicas(number), *view.pending(number))))


async def replicate(other: Node, key: str, written: Entry) -> None:
    """Writes on another copy."""
    if other.status in (NodeStatus.STOPPED, NodeStatus.FAILED):
        # It copies when it is back, before it counts again.
        return
    answer = await http.put(url_of(other, f"/replicas/{quote(key, safe='')}"), content=written.model_dump_json())
    if answer.status_code != 204:
        raise Unavailable(f"{other.id} does not take the write")


# ---- between nodes ----


@app.put("/replicas/{key:path}")
async def put_replica(key: str, request: Request) -> Response:
    """Takes over a write of the primary."""
    try:
        store.replicate(node.get_partition(key).number, key, Entry.model_validate_json(await request.body()))
    except Fenced:
        return Response(status_code=409)
    return Response(status_code=204)


@app.get("/partitions/{number}")
async def get_partition(number: int, revision: int) -> PartitionCopy:
    """A partition, for a node that copies it."""
    await node.wait_for_revision(revision, TIMEOUT)
    return store.copy_of(number)
