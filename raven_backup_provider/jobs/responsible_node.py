"""The responsible node: whose etags a chain follows (design section 6).

It stays the chain's node while that is a member of the database group and answers; otherwise the first healthy member takes
over, and the chain with it, because each node numbers its own writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from raven_backup_provider.core.errors import ServerUnavailableError
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.transport import Node, Transport


@dataclass(frozen=True, slots=True)
class Responsible:
    """The node to export from.

    :param note: why it is not the chain's node; None if it is, or if there is no chain.
    """

    node: Node
    note: str | None = None


def choose_node(transport: Transport, database: str, newest: Manifest | None) -> Responsible:
    """Choose the node to export from.

    :param newest: the last manifest of the chain that would be continued, None without one.
    :raises ServerUnavailableError: no member of the group is healthy.
    """
    members = databases.members(transport, database)
    wanted = newest.database.node_tag if newest else None
    by_tag = {member.tag: member for member in members}
    if wanted in by_tag and databases.healthy(transport, by_tag[wanted], database):
        return Responsible(by_tag[wanted])
    for member in members:
        if member.tag != wanted and databases.healthy(transport, member, database):
            return Responsible(member, _note(wanted, wanted in by_tag, member) if wanted else None)
    tags = ", ".join(f"{member.tag} ({member.url})" for member in members) or "none"
    raise ServerUnavailableError(
        f"No member of the group of database {database} is healthy (members: {tags}). Look at the cluster view of RavenDB Studio."
    )


def _note(wanted: str, still_member: bool, chosen: Node) -> str:
    fate = "does not answer" if still_member else "is no longer a member of the database group"
    return f"the chain's node {wanted} {fate}; node {chosen.tag} takes over, and each node numbers its own etags"
