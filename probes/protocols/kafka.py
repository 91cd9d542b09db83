"""Kafka: the name of the request. `Produce` hands to a topic, whether or not the broker's word is waited for.

A request is its length, the API's number and version, a correlation id and the client's name.
"""

from __future__ import annotations

import struct
from typing import Final

from perfwatch.probes.protocols.turn import Said, Turn

_HEADER: Final = struct.Struct(
    ">IhhIh"
)  # length of the rest, API, its version, correlation, length of the client's name
_APIS: Final = (
    "Produce Fetch ListOffsets Metadata LeaderAndIsr StopReplica UpdateMetadata ControlledShutdown OffsetCommit "
    "OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups SaslHandshake "
    "ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId OffsetForLeaderEpoch AddPartitionsToTxn "
    "AddOffsetsToTxn EndTxn WriteTxnMarkers TxnOffsetCommit DescribeAcls CreateAcls DeleteAcls DescribeConfigs "
    "AlterConfigs AlterReplicaLogDirs DescribeLogDirs SaslAuthenticate CreatePartitions"
)
_NAMES: Final = _APIS.split()
_OPENS: Final = frozenset({"ApiVersions", "SaslHandshake", "SaslAuthenticate"})
_MAX_VERSION: Final = 20
_MAX_CLIENT: Final = 128


def read(said: Said) -> Turn | None:
    """Read one request."""
    if len(said.head) < _HEADER.size:
        return None
    length, api, version, _, client = _HEADER.unpack_from(said.head)
    name = _NAMES[api] if 0 <= api < len(_NAMES) else None
    shown = said.head[_HEADER.size : _HEADER.size + max(client, 0)]
    if not (name or said.known) or not 0 <= version <= _MAX_VERSION or not -1 <= client <= _MAX_CLIENT:
        return None
    fills = length + 4 == said.size or (said.known and length + 4 > _HEADER.size)
    if not fills or (shown and not (shown.isascii() and shown.decode().isprintable())):
        return None
    if name == "Produce":
        return Turn("kafka", name, "publish")
    return Turn("kafka", name, phase="opening" if name in _OPENS else "asking")
