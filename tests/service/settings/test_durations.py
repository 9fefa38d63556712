from datetime import timedelta

import pytest

from service.settings.durations import brief, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("15 minutes", 900),
        ("1h", 3600),
        ("30d", 2_592_000),
        (" 2h ", 7200),
    ],
)
def test_span_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "m", "-1m", "1.5h", "1w", "१m", "9" * 9 + "d", "1m30s"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s"):
        parse_duration(text)


def test_span_that_no_calendar_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 3650d"):
        parse_duration("9999999d")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (100_000, "1 d")]
)
def test_span_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    assert brief(timedelta(seconds=seconds)) == text
