"""Limits as settings write them: they mean what they mean to the library of the shared store."""

import subprocess
import sys

import limits
import pytest

from service.security.limit import parse_limit

TEXTS = ["5/minute", " 5 / minute ", "5 per 2 hours", "1/SECOND", "5/month", "3/2 years", "0/day"]


@pytest.mark.parametrize("text", TEXTS)
def test_limit_means_what_it_means_to_the_library_of_the_shared_store(text: str) -> None:
    ours, theirs = parse_limit(text), limits.parse(text)
    assert str(ours) == str(theirs)
    assert (ours.amount, ours.seconds) == (theirs.amount, theirs.get_expiry())


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/minute", "5/fortnight", "5/minute;9/hour", "-5/day"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number and a unit, such as 5/minute"):
        parse_limit(text)


def test_service_that_counts_by_itself_does_not_load_the_library() -> None:
    program = "import sys, service.app; print('limits' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
