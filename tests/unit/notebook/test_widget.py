from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import BackchannelError
from backchannel.notebook import widget as module
from backchannel.notebook.routing import Routing
from backchannel.notebook.widget import LiveWidget, MessageGate, built_text
from backchannel.notebook.wire import Cancel, FromPage, Mic


def test_a_message_is_handed_over_with_its_buffers_as_bytes() -> None:
    taken: list[tuple[FromPage, list[bytes]]] = []
    gate = MessageGate(lambda *call: taken.append(call))
    gate.take({"k": "mic", "client": "p", "n": 3, "rate": 16000}, [memoryview(b"\x01\x02")])
    assert taken == [(Mic("p", 3, 16000), [b"\x01\x02"])]
    assert gate.malformed == 0


@pytest.mark.parametrize("content", [None, 3, [], {}, {"k": "mic"}, {"k": "shout", "client": "p"}, {"k": ["mic"]}])
def test_a_malformed_message_is_counted_and_logged_once(content: object, caplog: pytest.LogCaptureFixture) -> None:
    gate = MessageGate(lambda *_: pytest.fail("handed over"))
    for _ in range(3):
        gate.take(content, [])
    assert gate.malformed == 3
    assert len(caplog.records) == 1


def test_nothing_is_raised_or_printed_when_handing_over_fails(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = MessageGate(lambda *_: 1 / 0)  # type: ignore[arg-type, return-value]
    with caplog.at_level(logging.ERROR):
        gate.take({"k": "cancel", "client": "p", "task": "1f"}, [])
    assert capsys.readouterr().out == ""
    assert "ZeroDivisionError" in caplog.text


def test_a_missing_build_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "BUILT", tmp_path)
    with pytest.raises(BackchannelError, match=r"'voice\.js' was not built.*npm run build"):
        built_text("voice.js")


def test_a_page_that_comes_back_is_given_the_state_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "built_text", lambda name: f"/* {name} */")
    state: dict[str, Any] = {"rows": []}
    widget = LiveWidget("board", lambda: dict(state), lambda *_: None, Routing(None))
    assert widget.get_state()["_esm"] == "/* board.js */"
    state["rows"] = [{"id": "1f"}]
    assert widget.get_state()["snapshot"] == {"rows": [{"id": "1f"}]}
    assert widget.get_state("snapshot")["snapshot"] == {"rows": [{"id": "1f"}]}
    assert widget.snapshot == {}
    widget.close()


def test_both_ways_into_the_kernel_lead_to_the_same_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "built_text", lambda name: "")
    taken: list[FromPage] = []
    routing = Routing(None)
    widget = LiveWidget("board", dict, lambda message, _: taken.append(message), routing)
    content = {"k": "cancel", "client": "p", "task": "1f"}
    routing._receivers[widget.comm.comm_id](content, [])
    widget._handle_custom_msg(content, [])
    assert taken == [Cancel("p", "1f")] * 2
    comm_id = widget.comm.comm_id
    widget.close()
    assert comm_id not in routing._receivers
