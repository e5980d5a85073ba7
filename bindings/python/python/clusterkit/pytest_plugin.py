"""The pytest fixture `clusterkit_cluster`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import TestCluster


@pytest.fixture
def clusterkit_cluster() -> Iterator[Callable[..., TestCluster]]:
    """Starts test clusters, with the arguments of `clusterkit.testing.TestCluster`, and closes them after the test.

        def test_a_node_dies(clusterkit_cluster):
            cluster = clusterkit_cluster(nodes=3, partition_count=8)
            cluster.kill(0)
            cluster.wait_for_primaries()

    A hook that does not return fails the test.
    """
    # Only where it is used: every pytest loads this module.
    from .testing import TestCluster

    clusters: list[TestCluster] = []

    def start(*args: object, **options: object) -> TestCluster:
        cluster = TestCluster(*args, **options)  # type: ignore[arg-type]
        clusters.append(cluster)
        return cluster

    yield start
    for cluster in clusters:
        cluster.close()
