"""Messages of a queue: for whom they are, and which are deleted."""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws import SQSResult
from backchannel.aws.access import Access
from backchannel.aws.inbox import Inbox, inbox_of
from backchannel.aws.outcome import Outcome, Step

from .fakes import refusal

FIELD = "task_id"


class Queue:
    """A client of SQS with one queue; `appear` ends the time in which received messages are hidden."""

    def __init__(self, *bodies: Any) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.visible: deque[str] = deque()
        self.receipts: dict[str, str] = {}
        self.receives = 0
        self.numbers = itertools.count()
        self.fault: Exception | None = None
        for body in bodies:
            self.send(body)

    def send(self, body: Any, **attributes: str) -> None:
        message_id = f"m{next(self.numbers)}"
        text = body if isinstance(body, str) else json.dumps(body)
        said = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        self.messages[message_id] = {"MessageId": message_id, "Body": text, "MessageAttributes": said}
        self.visible.append(message_id)

    def appear(self) -> None:
        self.visible = deque(self.messages)

    def receive_message(self, **parameters: Any) -> Any:
        self.receives += 1
        found = []
        while self.visible and len(found) < parameters["MaxNumberOfMessages"]:
            message_id = self.visible.popleft()
            if message_id in self.messages:
                receipt = f"r{len(self.receipts)}"
                self.receipts[receipt] = message_id
                found.append({**self.messages[message_id], "ReceiptHandle": receipt})
        return {"Messages": found} if found else {}

    def delete_message(self, **parameters: Any) -> Any:
        if self.fault is not None:
            raise self.fault
        self.messages.pop(self.receipts[parameters["ReceiptHandle"]], None)
        return {}

    def bodies(self) -> list[str]:
        return [str(message["Body"]) for message in self.messages.values()]


def access(queue: Queue) -> Access:
    return Access("sqs", client=queue)


def inbox(*tokens: str) -> Inbox:
    made = Inbox("https://queue")
    for token in tokens:
        made.expect(token, FIELD)
    return made


def value(found: Any) -> Any:
    assert isinstance(found, Outcome)
    return found.value if found.error is None else found.error


def test_one_receives_for_all_and_what_is_for_others_stays():
    queue = Queue({FIELD: "b", "result": 2}, {FIELD: "stranger", "result": 0}, "not JSON", [1], "", {FIELD: 3})
    box = inbox("a", "b")
    assert box.look(access(queue), "a") is None
    receives = queue.receives
    assert value(box.look(access(queue), "b")) == 2
    assert queue.receives == receives
    assert len(queue.messages) == 6
    box.forget(access(queue), "b", True)
    assert len(queue.messages) == 5


def test_a_message_is_deleted_once_its_task_has_the_result_and_not_before():
    queue = Queue({FIELD: "a", "result": 1})
    box = inbox("a")
    assert value(box.look(access(queue), "a")) == 1
    assert len(queue.messages) == 1
    box.forget(access(queue), "a", True)
    assert queue.messages == {}


def test_a_result_that_nobody_took_stays():
    queue = Queue({FIELD: "a", "result": 1})
    box = inbox("a", "b")
    box.look(access(queue), "b")
    box.forget(access(queue), "a", False)
    queue.appear()
    box.look(access(queue), "b")
    assert len(queue.messages) == 1
    # A new process that follows the same task finds it.
    queue.appear()
    assert value(inbox("a").look(access(queue), "a")) == 1


def test_a_second_message_for_a_result_that_was_taken_is_deleted():
    queue = Queue({FIELD: "a", "result": 1}, {FIELD: "a", "result": 1})
    box = inbox("a", "b")
    assert value(box.look(access(queue), "a")) == 1
    box.forget(access(queue), "a", True)
    assert queue.messages == {}
    queue.send({FIELD: "a", "result": 1})
    assert box.look(access(queue), "b") is None
    assert queue.messages == {}


def test_a_message_that_appears_again_before_its_task_has_looked_counts_once_and_is_deleted_by_its_newest_receipt():
    queue = Queue({FIELD: "a", "done": 1}, {FIELD: "a", "result": 5})
    box = inbox("a", "b")
    for _ in range(3):
        box.look(access(queue), "b")
        queue.appear()
    queue.receipts = {receipt: message for receipt, message in queue.receipts.items() if receipt in ("r4", "r5")}
    assert value(box.look(access(queue), "a")) == 5
    box.forget(access(queue), "a", True)
    assert queue.messages == {}


def test_progress_is_told_once_and_deleted():
    queue = Queue({FIELD: "a", "done": 1, "total": 3}, {FIELD: "a", "done": 2, "total": 3})
    box = inbox("a")
    assert box.look(access(queue), "a") == Step(2, 3)
    assert queue.messages == {}
    assert box.look(access(queue), "a") is None


def test_a_message_for_us_that_says_nothing_stays_and_is_logged_once(caplog: pytest.LogCaptureFixture):
    queue = Queue({FIELD: "a", "status": "fine"})
    box = inbox("a")
    for _ in range(3):
        assert box.look(access(queue), "a") is None
        queue.appear()
    assert len(queue.messages) == 1
    assert caplog.text.count("neither result nor error") == 1


def test_a_dead_letter_says_why_and_not_what_the_event_had():
    queue = Queue()
    queue.send({FIELD: "a", "result": "wanted"}, ErrorCode="200", ErrorMessage="Task timed out after 3.00 seconds")
    assert value(inbox("a").look(access(queue), "a")) == "Task timed out after 3.00 seconds"


def test_what_could_not_be_deleted_is_logged_and_deleted_when_it_appears_again(caplog: pytest.LogCaptureFixture):
    queue = Queue({FIELD: "a", "result": 1})
    box = inbox("a", "b")
    assert value(box.look(access(queue), "a")) == 1
    queue.fault = refusal("AccessDenied", status=403)
    box.forget(access(queue), "a", True)
    assert "sqs:DeleteMessage" in caplog.text
    queue.fault = None
    queue.appear()
    box.look(access(queue), "b")
    assert queue.messages == {}


def test_tools_with_ids_of_other_names_share_a_queue():
    queue = Queue({"job": "a", "result": 1}, {"run": "b", "result": 2})
    box = Inbox("https://queue")
    box.expect("a", "job")
    box.expect("b", "run")
    assert value(box.look(access(queue), "a")) == 1
    assert value(box.look(access(queue), "b")) == 2


def test_all_tools_of_a_process_share_the_inbox_of_a_queue():
    kept = SQSResult("https://one")
    assert inbox_of("https://one") is inbox_of("https://one")
    assert inbox_of("https://two") is not inbox_of("https://one")
    del kept


def test_results_and_failures_may_come_in_two_queues():
    record = {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {FIELD: "b"}}
    failed = {**record, "responsePayload": {"errorMessage": "bad"}}
    queues = {"https://ok": Queue({FIELD: "a", "result": 1}), "https://failed": Queue(failed)}

    class Client:
        def receive_message(self, **parameters: Any) -> Any:
            return queues[parameters["QueueUrl"]].receive_message(**parameters)

        def delete_message(self, **parameters: Any) -> Any:
            return queues[parameters["QueueUrl"]].delete_message(**parameters)

    place = SQSResult("https://ok", "https://failed", client=Client())
    for token in ("a", "b"):
        place.expect(token, FIELD)
    assert value(place.look(Access("lambda"), "a", FIELD)) == 1
    assert value(place.look(Access("lambda"), "b", FIELD)) == "bad"
    for token in ("a", "b"):
        place.forget(Access("lambda"), token, True)
    assert [queue.messages for queue in queues.values()] == [{}, {}]
    assert "https://ok and https://failed" in place.where("a", FIELD)


def test_while_one_receives_the_others_do_not_wait():
    entered, go = threading.Event(), threading.Event()

    class Slow(Queue):
        def receive_message(self, **parameters: Any) -> Any:
            entered.set()
            assert go.wait(10)
            return super().receive_message(**parameters)

    queue = Slow({FIELD: "a", "result": 1})
    box = inbox("a", "b")
    thread = threading.Thread(target=box.look, args=(access(queue), "b"))
    thread.start()
    assert entered.wait(10)
    assert box.look(access(queue), "a") is None
    go.set()
    thread.join()
    assert value(box.look(access(queue), "a")) == 1


TOKENS = ["a", "b", "c", "stranger"]
BODIES = st.one_of(
    st.builds(lambda token, result: {FIELD: token, "result": result}, st.sampled_from(TOKENS), st.integers()),
    st.builds(lambda token, done: {FIELD: token, "done": done}, st.sampled_from(TOKENS), st.integers(0, 9)),
    st.sampled_from([{}, [], "x", {FIELD: None}, {FIELD: "a"}]),
)


@given(
    st.lists(st.one_of(BODIES, st.sampled_from(["appear", "look a", "look b", "look c"])), max_size=60),
)
def test_in_whatever_order_each_result_is_taken_once_and_nothing_of_others_is_deleted(steps: list[Any]):
    queue, box, taken = Queue(), inbox("a", "b", "c"), {}
    for step in [*steps, "appear", "look a", "look b", "look c", "look a", "look b", "look c"]:
        if step == "appear":
            queue.appear()
        elif isinstance(step, str) and step.startswith("look "):
            token = step[-1]
            if token in taken:
                continue
            found = box.look(access(queue), token)
            if isinstance(found, Outcome):
                taken[token] = found.value
                box.forget(access(queue), token, True)
        else:
            queue.send(step)
    sent = [step for step in steps if isinstance(step, dict) and "result" in step]
    assert set(taken) == {step[FIELD] for step in sent} - {"stranger"}
    for token, result in taken.items():
        assert result in [step["result"] for step in sent if step[FIELD] == token]
    left = [json.loads(body) for body in queue.bodies() if body.startswith("{")]
    strangers = [step for step in steps if isinstance(step, dict) and step.get(FIELD) == "stranger"]
    assert [body for body in left if body.get(FIELD) == "stranger"] == strangers
