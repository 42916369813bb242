"""Where functions leave what they made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws import SQSResult
from backchannel.aws.access import Access
from backchannel.aws.results import outcome_of, token_in

from .fakes import FakeClient

FIELD = "task_id"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["result", "error", "done"]), inner),
    max_leaves=10,
)


def told(document: Any, **options: Any) -> Any:
    outcome = outcome_of(document, FIELD, **options)
    return None if outcome is None else (outcome.value, outcome.error)


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ({"result": 3}, (3, None)),
        ({"result": None, "error": None}, (None, None)),
        ({"error": "no"}, (None, "no")),
        ({"error": {"why": "x"}}, (None, '{"why": "x"}')),
        ({"done": 1, "total": 3}, None),
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
        ({"done": 1, "message": "half"}, None),
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
    assert token_in(record("Success"), FIELD) == "t"
    assert told(record("Success", responsePayload={"a": 1})) == ({"a": 1}, None)
    failed = {"errorType": "ValueError", "errorMessage": "bad"}
    exhausted = record("RetriesExhausted", responsePayload=failed, responseContext={"functionError": "Unhandled"})
    assert told(exhausted) == (None, "ValueError: bad")
    assert told(record("EventAgeExceeded")) == (None, "The function did not succeed (EventAgeExceeded).")


@given(JSON, st.booleans())
def test_no_document_breaks_the_reader(document: Any, whole: bool):
    token_in(document, FIELD)
    outcome_of(document, FIELD, whole=whole)


def message(number: int, body: Any) -> dict[str, Any]:
    return {"Body": body if isinstance(body, str) else json.dumps(body), "ReceiptHandle": f"r{number}"}


def test_one_receives_for_all_and_leaves_what_is_for_others():
    client = FakeClient(
        receive_message=[
            {
                "Messages": [
                    message(1, {FIELD: "b", "result": 2}),
                    message(2, {FIELD: "stranger", "result": 0}),
                    message(3, "not JSON"),
                    message(4, {FIELD: "past", "result": 0}),
                ]
            },
            {"Messages": [message(5, {FIELD: "a", "done": 1}), message(6, {FIELD: "a", "error": "no"})]},
            {},
        ],
        delete_message={},
    )
    place = SQSResult("queue", client=client)
    access = Access("lambda")
    for token in ("a", "b", "past"):
        place.expect(token)
    place.forget("past")

    assert place.look(access, "a", FIELD) is None
    found = place.look(access, "b", FIELD)
    assert found is not None
    assert found.value == 2
    assert client.names().count("receive_message") == 1
    found = place.look(access, "a", FIELD)
    assert found is not None
    assert found.error == "no"
    deleted = [parameters["ReceiptHandle"] for name, parameters in client.calls if name == "delete_message"]
    assert deleted == ["r1", "r4", "r5", "r6"]
