"""What documents of functions and of Lambda say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws.outcome import Outcome, Step, failure_in, json_of, outcome_of, token_in, unwrapped

FIELD = "task_id"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["result", "error", "done"]), inner),
    max_leaves=10,
)


def told(document: Any, **options: Any) -> Any:
    found = outcome_of(document, FIELD, **options)
    return (found.value, found.error) if isinstance(found, Outcome) else found


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ({"result": 3}, (3, None)),
        ({"result": None, "error": None}, (None, None)),
        ({"result": 3, "error": False}, (3, None)),
        ({"result": 3, "error": ""}, (3, None)),
        ({"result": 3, "error": "no"}, (None, "no")),
        ({"error": ""}, (None, "")),
        ({"error": None}, None),
        ({"error": "no"}, (None, "no")),
        ({"error": {"why": "x"}}, (None, '{"why": "x"}')),
        ({"done": 1, "total": 3}, Step(1, 3)),
        ({"message": "reading"}, Step(message="reading")),
        ({"done": True, "total": "3", "message": 7}, None),
        ({"done": float("nan"), "total": 10**400}, None),
        ({"id": "x", "status": "running"}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_an_item_or_message_ends_a_call_only_by_a_result_or_an_error(document: Any, outcome: Any):
    assert told(document) == outcome


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ({"result": 3, "task_id": "t"}, (3, None)),
        ({"error": "no"}, (None, "no")),
        ({"error": 0.04, "epochs": 20}, ({"error": 0.04, "epochs": 20}, None)),
        ({"done": True}, ({"done": True}, None)),
        ({"done": 1, "message": "half"}, Step(1, None, "half")),
        ({}, ({}, None)),
        ([1], ([1], None)),
        (None, (None, None)),
    ],
)
def test_an_object_is_the_result_unless_it_is_nothing_but_something_else(document: Any, outcome: Any):
    assert told(document, whole=True) == outcome


def record(condition: str, **more: Any) -> dict[str, Any]:
    return {"requestContext": {"condition": condition}, "requestPayload": {FIELD: "t"}, **more}


def test_records_of_destinations_are_understood():
    assert token_in(record("Success"), [FIELD]) == "t"
    assert token_in(record("Success"), ["job", FIELD]) == "t"
    assert token_in(record("Success"), ["job"]) is None
    assert told(record("Success", responsePayload={"a": 1})) == ({"a": 1}, None)
    failed = {"errorType": "ValueError", "errorMessage": "bad"}
    exhausted = record("RetriesExhausted", responsePayload=failed, responseContext={"functionError": "Unhandled"})
    assert told(exhausted) == (None, "ValueError: bad")
    assert told(record("EventAgeExceeded")) == (None, "Lambda could not run it in time, and the function said nothing")
    assert "Later" in told(record("Later"))[1]


@pytest.mark.parametrize(
    "packed",
    [
        lambda sent: sent,
        lambda sent: {"Type": "Notification", "MessageId": "1", "Message": json.dumps(sent)},
        lambda sent: {
            "version": "0",
            "source": "lambda",
            "detail-type": "Lambda Function Invocation Result",
            "detail": sent,
        },
    ],
    ids=["plain", "SNS", "EventBridge"],
)
def test_what_comes_by_way_of_another_service_is_unpacked(packed: Any):
    document = unwrapped(json_of(json.dumps(packed(record("Success", responsePayload=7)))))
    assert token_in(document, [FIELD]) == "t"
    assert told(document) == (7, None)


def test_an_event_of_ones_own_that_looks_packed_stays_as_it_is():
    for document in ({"Type": "Notification", "Message": 3}, {"detail-type": "x", "detail": {"result": 1}}, [], None):
        assert unwrapped(document) == document


def test_what_a_dead_letter_queue_says_is_why_there_is_no_result():
    assert told({FIELD: "t", "result": "part of the event"}, failure="no memory") == (None, "no memory")


def test_what_failed_is_quoted_up_to_a_bound():
    assert failure_in({"errorType": "E", "errorMessage": "x" * 100_000}).startswith("E: xxx")
    assert len(failure_in({"errorMessage": "x" * 100_000})) <= 2000
    assert failure_in(None) == failure_in({}) == failure_in("") == ""


def test_what_is_no_json_is_text():
    assert json_of(b"\xff") == "\ufffd"
    assert json_of("[" * 100_000).startswith("[[[")


@given(JSON, st.booleans())
def test_no_document_breaks_the_reader(document: Any, whole: bool):
    token_in(document, [FIELD])
    found = outcome_of(unwrapped(document), FIELD, whole=whole)
    assert found is not None or not whole or isinstance(document, dict)
