"""Members of a consumer group whose processes are dead, dropped at once.

What Kafka does when their session times out, seconds later: for scenarios that are about what comes then.
"""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from tests.e2e.world import World

_MEMBERS = 5  # where a group's description has its members


async def evict_members(world: World) -> None:
    """Let Kafka drop every member of the group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(world.group_id)
        [described] = await admin.describe_consumer_groups([world.group_id], coordinator)
        for member, *_ in described.groups[0][_MEMBERS]:
            await admin._send_request(LeaveGroupRequest(world.group_id, member), coordinator)
    finally:
        await admin.close()
