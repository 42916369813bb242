"""The lines of a journal: what goes in comes out, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import InvalidInputError, SessionDamagedError
from backchannel.journal.lines import decode_line, encode_line, from_plain, scan, to_plain

ANY = st.characters(codec=None)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(ANY) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(ANY, max_size=4) | st.sampled_from(["$bytes", "$float", "$dict"]), inner, max_size=3)
    ),
    max_leaves=12,
)
JOURNAL = b"".join(encode_line(seq, {"kind": "k", "text": f"entry {seq} é"}) for seq in range(3))


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    line = encode_line(7, {"kind": "k", "value": value})
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line)["seq"] == 7
    decoded = decode_line(line[:-1], "here")
    assert decoded is not None
    assert (decoded.seq, decoded.place) == (7, "here")
    assert decoded.entry == {"kind": "k", "value": value}
    assert repr(decoded.entry["value"]) == repr(value)


@given(VALUES)
def test_plain_values_are_json(value: Any) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(value), allow_nan=False))) == value


@given(st.binary(max_size=200))
def test_bytes_that_are_no_journal_are_refused(data: bytes) -> None:
    for torn in (True, False):
        try:
            found = scan(data, "it", torn=torn)
        except SessionDamagedError:
            continue
        # Zeros at the end are a file that grew, and what could be the first bytes of a line is a torn one.
        assert found.lines == []
        assert b'{"sum":"'.startswith(data.rstrip(b"\0")[:8])


def test_cut_off_at_any_byte_all_whole_lines_are_there() -> None:
    ends = [end for end in range(len(JOURNAL) + 1) if JOURNAL[:end].endswith(b"\n")]
    for length in range(len(JOURNAL) + 1):
        for zeros in (0, 1, 5000):
            found = scan(JOURNAL[:length] + b"\0" * zeros, "it", torn=True)
            whole = sum(end - 1 <= length for end in ends)
            assert [line.seq for line in found.lines] == list(range(whole))
            assert found.unended == (length + 1 in ends)
            assert found.length == max([0, *(end for end in ends if end <= length), length * found.unended])


def test_any_changed_byte_is_noticed() -> None:
    for position, right in enumerate(JOURNAL):
        for wrong in {0, 10, 32, 255, right ^ 1} - {right}:
            data = JOURNAL[:position] + bytes([wrong]) + JOURNAL[position + 1 :]
            with pytest.raises(SessionDamagedError, match=r"line [123] of it is damaged.*keep its first [012] line"):
                scan(data, "it", torn=False)
            if position < len(JOURNAL) - 1 or wrong:  # A zero at the end is a line break that was not written.
                with pytest.raises(SessionDamagedError):
                    scan(data, "it", torn=True)


def test_a_line_with_a_right_checksum_that_says_nothing_is_none() -> None:
    import zlib

    for rest in (b"]", b'"seq":1}', b'"seq":"1","entry":{"kind":"k"}}', b'"seq":1,"entry":{}}', b'"seq":1,"entry":[]}'):
        assert decode_line(b'{"sum":"%08x",%s' % (zlib.crc32(rest), rest), "") is None


def test_what_json_lacks_is_refused_or_replaced_by_what_the_caller_says() -> None:
    with pytest.raises(InvalidInputError, match="a set cannot be stored as JSON"):
        to_plain([{1}])
    assert to_plain([{1}], lambda item: type(item).__name__) == ["set"]
    assert to_plain({2: 2, None: 3, True: 4, 1.5: (5,)}) == {"2": 2, "null": 3, "true": 4, "1.5": [5]}
    value: Any = []
    for _ in range(300):
        value = {"a": value}
    with pytest.raises(InvalidInputError, match="nested deeper"):
        to_plain(value)
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(InvalidInputError, match="nested deeper"):
        to_plain(cycle)
