"""JSON that two programs could read differently is refused."""

import math

import pytest

from better_auth_keys import StrictDecoder

REFUSED = {
    "duplicate member": b'{"a": 1, "a": 2}',
    "duplicate member inside": b'[{"a": {"b": 1, "b": 2}}]',
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "not UTF-8": b'{"a": "\xff"}',
    "more than one value": b"{} {}",
    "white space that is not JSON's": "\u00a0{}\f".encode(),
    "nothing": b"",
    "nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_text_that_is_not_strict_json_is_refused(data: bytes) -> None:
    for decoder in (StrictDecoder(), StrictDecoder(allow_nan=True)):
        with pytest.raises(ValueError, match=r"."):
            decoder.decode(data)


def test_json_is_decoded() -> None:
    data = ' \t{"ä": [1, 2.5, null, true, {"b": "c"}]}\r\n'
    assert StrictDecoder().decode(data.encode()) == {"ä": [1, 2.5, None, True, {"b": "c"}]}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constant_that_is_not_json_is_refused_unless_allowed(constant: str) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        StrictDecoder().decode(constant.encode())
    found = StrictDecoder(allow_nan=True).decode(constant.encode())
    assert isinstance(found, float)
    assert not math.isfinite(found)


def test_shared_names_are_held_once() -> None:
    decoder = StrictDecoder(shared_names={"a_name": "a_name"})
    first, second = (decoder.decode(b'{"a_name": 1}') for _ in range(2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert next(iter(first)) is next(iter(second))
