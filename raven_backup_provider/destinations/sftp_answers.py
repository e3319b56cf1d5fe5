"""What an SFTP server answers: content, attributes, or a status that says why not."""

from __future__ import annotations

from raven_backup_provider.destinations.server_session import Refusal, RefusedError
from raven_backup_provider.destinations.sftp_wire import Fields, Kind, Status

_REFUSALS: dict[int, Refusal] = {
    Status.NO_SUCH_FILE: Refusal.MISSING,
    Status.PERMISSION_DENIED: Refusal.RIGHTS,
    Status.OP_UNSUPPORTED: Refusal.UNSUPPORTED,
    Status.FILE_ALREADY_EXISTS: Refusal.EXISTS,
    Status.NO_SPACE: Refusal.FULL,
    Status.QUOTA_EXCEEDED: Refusal.FULL,
}


class Answer(Fields):
    """An answer of the server with its kind; reads its fields in order.

    :param further: what follows ``data``, of an answer that is content of a file: not joined, for it is large.
    """

    def __init__(self, kind: int, data: memoryview, further: list[memoryview]) -> None:
        super().__init__(data)
        self.kind = kind
        self._further = further

    def content(self) -> list[memoryview]:
        """The content of a file, in the pieces it came in.

        :raises ValueError: there is less of it than it says.
        """
        length = self.number()
        pieces = [self.rest(), *self._further]
        if sum(map(len, pieces)) == length:
            return pieces
        whole = memoryview(b"".join(pieces))  # later versions of SFTP put a word behind it
        if len(whole) < length:
            raise ValueError("the server sent less than it says")
        return [whole[:length]]


class StatusError(RefusedError):
    """A refusal with the code of its STATUS packet."""

    def __init__(self, code: int, said: str) -> None:
        self.code = code
        super().__init__(_REFUSALS.get(code, Refusal.OTHER), said)


def checked(answer: Answer) -> Answer:
    """The answer, unless it is a refusal.

    :raises RefusedError: a status other than OK.
    """
    if answer.kind != Kind.STATUS:
        return answer
    code = answer.number()
    if code == Status.OK:
        return answer
    said = answer.string().strip() if answer.more else ""
    raise StatusError(code, said or f"status {code}")
