"""Entity tags of tasks and conditional requests (RFC 9110 sections 8.8.3 and 13.1)."""

import re
from http import HTTPStatus
from typing import Final

from service.http.problem_document import ProblemError
from service.tasks.schemas import Task

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS: Final = re.compile(rf"[ \t]*{_TAG}(?:[ \t]*,[ \t]*{_TAG})*[ \t]*")
_ONE_TAG: Final = re.compile(_TAG)
_OURS: Final = re.compile(r'"v([0-9]{1,9})"')
_MAX_LENGTH: Final = 2000
_ANY: Final = "*"


def etag_of(task: Task) -> str:
    """Return the entity tag of a task."""
    return f'"v{task.version}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that If-Match allows, or None if it allows any.

    Weak tags, and tags that this service did not create, match nothing. Raises `ProblemError` (400)
    if the header is not a list of tags.
    """
    if if_match is None or if_match.strip() == _ANY:
        return None
    ours = (_OURS.fullmatch(tag) for tag in _tags(if_match))
    return frozenset(int(found.group(1)) for found in ours if found)


def is_unchanged(task: Task, if_none_match: str | None) -> bool:
    """Return whether the client already has this version. Raises `ProblemError` (400)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == _ANY:
        return True
    return etag_of(task) in [tag.removeprefix("W/") for tag in _tags(if_none_match)]


def _tags(header: str) -> list[str]:
    if len(header) > _MAX_LENGTH or _TAGS.fullmatch(header) is None:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            "bad_precondition",
            'If-Match or If-None-Match is malformed. Send ETag values, such as "v7", or *.',
        )
    return _ONE_TAG.findall(header)
