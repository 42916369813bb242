"""Sessions: conversations that go on in another program, in files and in S3."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import os
import stat
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from backchannel import BidiAgent, FileSessionManager, S3SessionManager, ToolContext, tool
from backchannel.errors import (
    BackchannelError,
    InvalidInputError,
    SessionConflictError,
    SessionDamagedError,
    SessionStorageError,
)
from backchannel.hooks import (
    BidiAgentInitializedEvent,
    BidiHistoryReducedEvent,
    BidiMessageAddedEvent,
    BidiMessageAmendedEvent,
    HookRegistry,
)
from backchannel.journal import FileStore, Journal
from backchannel.messages import Message, validate_messages
from backchannel.models.scripted import ScriptedModel, call, expect_result, expect_text, hear, say
from tests.support.virtual_time import run, virtual_time


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(context=True)
def remember(what: str, tool_context: ToolContext) -> str:
    """Remember something."""
    tool_context.agent.state.set("remembered", what)
    return "ok"


Manager = Callable[[str], Any]


@pytest.fixture(params=["file", "s3"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """Make a new session manager for an id; all of them keep their sessions in one place."""
    if request.param == "file":
        yield lambda session_id: FileSessionManager(session_id, tmp_path)
        return
    with mock_aws():
        session = boto3.Session("id", "secret", region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="bucket")
        yield lambda session_id: S3SessionManager(session_id, "bucket", "agents/", boto_session=session)


def agent_with(manager: Any, *steps: Any, **options: Any) -> BidiAgent:
    return BidiAgent(ScriptedModel(*steps), tools=[add, remember], session_manager=manager, **options)


async def talk(agent: BidiAgent, *texts: str) -> None:
    """Say something, one after the other, and read each answer to its end."""
    async with agent:
        events = agent.receive()
        for text in texts:
            await agent.send(text)
            async for event in events:
                if event.get("type") == "bidi_response_complete":
                    break
        await events.aclose()


def text(role: Any, words: str) -> Message:
    return {"role": role, "content": [{"text": words}]}


def changed(agent: BidiAgent, *messages: Message) -> None:
    """Add messages as the agent does."""
    for message in messages:
        agent.messages.append(message)
        agent.hooks.invoke_callbacks(BidiMessageAddedEvent(agent, message))


def file_of(directory: Path, session: str = "s", agent: str = "default") -> Path:
    return directory / f"session_{session}" / f"agent_{agent}.jsonl"


def test_a_conversation_goes_on_in_a_new_agent(manager: Manager) -> None:
    first = agent_with(manager("s"), expect_text("hello"), say("Hi."))
    run(talk(first, "hello"))
    second = agent_with(manager("s"), expect_text("again"), say("Welcome back."))
    assert second.messages == first.messages == [text("user", "hello"), text("assistant", "Hi.")]
    run(talk(second, "again"))
    third = agent_with(manager("s"))
    assert third.messages == second.messages
    assert len(third.messages) == 4


def test_the_model_is_started_with_the_restored_history(manager: Manager) -> None:
    run(talk(agent_with(manager("s"), expect_text("hello"), say("Hi.")), "hello"))
    model = ScriptedModel(expect_text("again"), say("Yes."))
    seen: list[Any] = []
    start = model.start

    async def spy(system_prompt: Any = None, tools: Any = None, messages: Any = None, **options: Any) -> None:
        seen.append(copy.deepcopy(messages))
        await start(system_prompt=system_prompt, tools=tools, messages=messages, **options)

    model.start = spy  # type: ignore[method-assign]
    run(talk(BidiAgent(model, session_manager=manager("s")), "again"))
    assert [message["content"][0]["text"] for message in seen[0]] == ["hello", "Hi."]


def test_calls_results_and_state_come_back(manager: Manager) -> None:
    steps = [expect_text("note"), call("remember", {"what": "日本 \n"}), expect_result("ok"), say("Noted.")]
    first = agent_with(manager("s"), *steps, state={"mode": "quiet"})
    run(talk(first, "note"))
    second = agent_with(manager("s"), state={"mode": "loud", "new": 1})
    assert second.messages == first.messages
    assert validate_messages(second.messages) == []
    assert second.state.get() == {"mode": "quiet", "remembered": "日本 \n", "new": 1}


def test_sessions_and_agents_are_kept_apart(manager: Manager) -> None:
    changed(agent_with(manager("s"), agent_id="a"), text("user", "for a"))
    changed(agent_with(manager("s"), agent_id="b"), text("user", "for b"))
    changed(agent_with(manager("t"), agent_id="a"), text("user", "other session"))
    assert agent_with(manager("s"), agent_id="a").messages == [text("user", "for a")]
    assert agent_with(manager("s"), agent_id="b").messages == [text("user", "for b")]
    assert agent_with(manager("s"), agent_id="c").messages == []


def test_one_manager_serves_several_agents(manager: Manager) -> None:
    shared = manager("s")
    agents = [agent_with(shared, agent_id=name) for name in "abc"]
    for agent in agents:
        changed(agent, text("user", agent.agent_id))
    assert [agent_with(shared, agent_id=name).messages for name in "abc"] == [[text("user", name)] for name in "abc"]


def test_messages_that_the_agent_was_given_begin_the_session(manager: Manager) -> None:
    given = [text("user", "before"), text("assistant", "Yes.")]
    first = agent_with(manager("s"), expect_text("hello"), say("Hi."), messages=given)
    assert first.messages is given
    run(talk(first, "hello"))
    assert agent_with(manager("s")).messages == given
    assert len(given) == 4


def test_given_messages_and_a_session_with_some_are_refused(manager: Manager) -> None:
    changed(agent_with(manager("s")), text("user", "stored"))
    with pytest.raises(InvalidInputError, match=r"session 's' has 1 messages already.*given 2.*another session_id"):
        agent_with(manager("s"), messages=[text("user", "a"), text("assistant", "b")])
    empty: list[Message] = []
    assert agent_with(manager("s"), messages=empty).messages is empty
    assert empty == [text("user", "stored")]


def test_a_direct_call_is_stored_without_a_conversation(manager: Manager) -> None:
    agent = agent_with(manager("s"))
    agent.tool.remember(what="this")
    restored = agent_with(manager("s"))
    assert restored.messages == agent.messages
    assert len(restored.messages) == 4
    assert restored.state.get("remembered") == "this"


def test_amended_removed_and_reduced_messages_are_followed(manager: Manager) -> None:
    agent = agent_with(manager("s"))
    messages = [text("user", f"{number}") for number in range(6)]
    changed(agent, *messages)
    messages[4]["content"][0]["text"] = "four, as heard"
    agent.hooks.invoke_callbacks(BidiMessageAmendedEvent(agent, messages[4], 4))
    agent.messages.remove(messages[2])
    agent.hooks.invoke_callbacks(BidiMessageAmendedEvent(agent, messages[2], 2, removed=True))
    assert agent_with(manager("s")).messages == agent.messages
    agent.messages[:3] = [text("user", "all that was before")]
    agent.hooks.invoke_callbacks(BidiHistoryReducedEvent(agent, 3, agent.messages[:1]))
    restored = agent_with(manager("s")).messages
    assert restored == agent.messages
    assert [message["content"][0]["text"] for message in restored] == ["all that was before", "four, as heard", "5"]


def test_what_is_changed_without_an_event_is_stored_at_the_end_of_a_conversation(manager: Manager) -> None:
    agent = agent_with(manager("s"), expect_text("hello"), say("Hi."))
    changed(agent, text("user", "zero"), text("user", "one"), text("user", "two"))

    async def scene() -> None:
        async with agent:
            agent.messages[0]["content"][0]["text"] = "nothing"
            del agent.messages[1]
            agent.messages.insert(0, text("user", "minus one"))
            agent.state.set("k", [1])

    run(scene())
    restored = agent_with(manager("s"))
    assert restored.messages == agent.messages
    assert [message["content"][0]["text"] for message in restored.messages] == ["minus one", "nothing", "two"]
    assert restored.state.get() == {"k": [1]}


def test_a_new_list_of_messages_is_followed(manager: Manager) -> None:
    agent = agent_with(manager("s"))
    changed(agent, text("user", "old"))
    agent.messages = []
    changed(agent, text("user", "new"))
    assert agent_with(manager("s")).messages == [text("user", "new")]


def test_pictures_and_documents_come_back_as_bytes(manager: Manager) -> None:
    image = {"format": "png", "source": {"bytes": b"\x89PNG\x00"}}
    changed(agent_with(manager("s")), {"role": "user", "content": [{"image": image}]})
    assert agent_with(manager("s")).messages == [{"role": "user", "content": [{"image": image}]}]


def test_an_object_in_a_message_does_not_end_the_conversation(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    class Secret:
        def __repr__(self) -> str:
            raise ValueError("no")

    block: Any = {"toolResult": {"toolUseId": "1", "status": "success", "content": [{"json": {"a": Secret()}}]}}
    use: Any = {"toolUse": {"toolUseId": "1", "name": "n", "input": {}}}
    agent = agent_with(manager("s"))
    changed(agent, {"role": "assistant", "content": [use]}, {"role": "user", "content": [block]})
    assert "a Secret in a message cannot be stored" in caplog.text
    restored: Any = agent_with(manager("s")).messages
    assert restored[1]["content"][0]["toolResult"]["content"] == [{"json": {"a": "<Secret>"}}]


def test_a_crash_between_call_and_result_leaves_a_valid_history(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    use: Any = {"toolUse": {"toolUseId": "1", "name": "n", "input": {}}}
    agent = agent_with(manager("s"))
    changed(agent, text("user", "go"), {"role": "assistant", "content": [{"text": "Well."}, use]})
    restored = agent_with(manager("s"), expect_text("on"), say("Yes."))
    assert restored.messages == [text("user", "go"), text("assistant", "Well.")]
    assert "call 1 was dropped: its result was never stored" in caplog.text
    run(talk(restored, "on"))
    caplog.clear()
    assert agent_with(manager("s")).messages == restored.messages
    assert "dropped" not in caplog.text


def test_two_conversations_at_a_time_are_refused_and_the_first_goes_on(manager: Manager) -> None:
    first = agent_with(manager("s"), expect_text("hello"), say("Hi."), expect_text("still"), say("Here."))
    second = agent_with(manager("s"), expect_text("me too"))

    async def scene() -> None:
        async with first:
            events = first.receive()
            await first.send("hello")
            async for event in events:
                if event.get("type") == "bidi_response_complete":
                    break
            with pytest.raises(SessionConflictError):
                await second.start()
            assert not second.started
            await first.send("still")
            async for event in events:
                if event.get("type") == "bidi_response_complete":
                    break
            await events.aclose()

    run(scene())
    assert agent_with(manager("s")).messages == first.messages
    assert len(first.messages) == 4


def test_an_agent_that_has_read_before_another_has_written_is_refused(manager: Manager) -> None:
    old = agent_with(manager("s"))
    changed(agent_with(manager("s")), text("user", "newer"))
    with pytest.raises(SessionConflictError, match="make a new agent"):
        run(talk(old))
    with pytest.raises(SessionConflictError):
        changed(old, text("user", "lost"))
    assert agent_with(manager("s")).messages == [text("user", "newer")]


def test_a_cell_that_is_run_again_takes_the_session_over(manager: Manager) -> None:
    shared = manager("s")
    agents = []
    for number in range(3):
        agent = agent_with(shared, expect_text("hello"), say("Hi."))
        run(talk(agent, "hello"))
        agents.append(agent)
        assert len(agent.messages) == 2 * (number + 1)


def test_an_agent_may_be_started_again(manager: Manager) -> None:
    agent = agent_with(manager("s"), expect_text("one"), say("1."))
    run(talk(agent, "one"))
    agent.model = ScriptedModel(expect_text("two"), say("2."))
    run(talk(agent, "two"))
    assert len(agent_with(manager("s")).messages) == 4


def test_what_happens_after_a_conversation_is_stored_too(manager: Manager) -> None:
    agent = agent_with(manager("s"), expect_text("hello"), say("Hi."))
    run(talk(agent, "hello"))
    for number in range(2):
        agent.tool.remember(what=f"{number}")
        restored = agent_with(manager("s"))
        assert restored.messages == agent.messages
        assert restored.state.get("remembered") == f"{number}"


def test_a_model_that_cannot_be_reached_leaves_the_session_free(manager: Manager) -> None:
    class Unreachable(ScriptedModel):
        async def start(self, *args: Any, **options: Any) -> None:
            raise ConnectionError("no network")

    agent = BidiAgent(Unreachable(), session_manager=manager("s"))
    with pytest.raises(ConnectionError):
        run(talk(agent))
    run(talk(agent_with(manager("s"), expect_text("hello"), say("Hi.")), "hello"))
    assert len(agent_with(manager("s")).messages) == 2


def test_hooks_that_are_async_are_no_hindrance(manager: Manager) -> None:
    class Slow:
        def register_hooks(self, registry: HookRegistry, **options: Any) -> None:
            for kind in (BidiMessageAddedEvent, BidiMessageAmendedEvent):
                registry.add_callback(kind, self.wait)

        async def wait(self, event: Any) -> None:
            await asyncio.sleep(0.3)

    steps = [
        [*hear("add"), call("add", {"a": 1, "b": n}, f"call-{n}"), expect_result(str(n + 1)), say(f"It is {n + 1}.")]
        for n in range(5)
    ]
    agent = agent_with(manager("s"), *[step for part in steps for step in part], hooks=[Slow()])

    async def scene() -> None:
        async with agent:
            count = 0
            async for event in agent.receive():
                count += event.get("type") == "bidi_response_complete"
                if count == 5:
                    break

    run(scene())
    assert agent_with(manager("s")).messages == agent.messages
    assert len(agent.messages) == 20


def test_a_manager_that_is_added_later_restores_then(manager: Manager) -> None:
    changed(agent_with(manager("s")), text("user", "stored"))
    agent = BidiAgent(ScriptedModel())
    agent.hooks.add_hook(manager("s"))
    run(talk(agent))
    assert agent.messages == [text("user", "stored")]


def test_a_manager_does_not_keep_its_agents_alive(manager: Manager) -> None:
    shared = manager("s")
    agent = agent_with(shared)
    gone = weakref.ref(agent)
    del agent
    gc.collect()
    assert gone() is None


def test_a_long_session_comes_back_whole(manager: Manager) -> None:
    agent = agent_with(manager("s"))

    async def scene() -> None:
        async with agent:
            for number in range(10_000):
                changed(agent, text("user" if number % 2 == 0 else "assistant", f"message {number}"))

    run(scene())
    restored = agent_with(manager("s"))
    assert restored.messages == agent.messages
    assert len(restored.messages) == 10_000


def test_what_was_removed_leaves_the_storage_when_it_outnumbers_the_rest(tmp_path: Path) -> None:
    agent = agent_with(FileSessionManager("s", tmp_path), expect_text("hello"), say("Hi."))
    for number in range(300):
        changed(agent, text("user", f"secret {number}"))
    assert b"secret 100" in file_of(tmp_path).read_bytes()
    del agent.messages[:290]
    run(talk(agent, "hello"))
    assert b"secret 100" not in file_of(tmp_path).read_bytes()
    assert agent_with(FileSessionManager("s", tmp_path)).messages == agent.messages


def test_state_is_written_when_it_changes_only(tmp_path: Path) -> None:
    agent = agent_with(FileSessionManager("s", tmp_path))
    for _ in range(5):
        agent.tool.add(a=1, b=2, record_direct_tool_call=False)
    assert not file_of(tmp_path).read_bytes()
    for _ in range(5):
        agent.tool.remember(what="x", record_direct_tool_call=False)
    assert file_of(tmp_path).read_bytes().count(b'"kind":"state"') == 1


def test_nothing_but_messages_and_state_is_stored(tmp_path: Path) -> None:
    agent = agent_with(
        FileSessionManager("s", tmp_path), expect_text("hello"), say("Hi."), system_prompt="PROMPT", description="ABOUT"
    )
    run(talk(agent, "hello"))
    data = file_of(tmp_path).read_text()
    kinds = [json.loads(line)["entry"]["kind"] for line in data.splitlines()]
    assert kinds == ["journal.opened", "message", "message"]
    assert not any(word in data for word in ("PROMPT", "ABOUT", "Add two numbers", str(os.getpid()), str(tmp_path)))


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    changed(agent_with(FileSessionManager("s", tmp_path / "a" / "b")), text("user", "private"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "a": 0o700,
        "b": 0o700,
        "session_s": 0o700,
        "agent_default.jsonl": 0o600,
        "agent_default.jsonl.lock": 0o600,
    }


def test_the_default_place_is_in_the_working_directory_and_out_of_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manager = FileSessionManager("s")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    changed(agent_with(manager), text("user", "hello"))
    assert file_of(tmp_path / ".backchannel" / "sessions").exists()
    assert (tmp_path / ".backchannel" / ".gitignore").read_text() == "*\n"


WRONG_IDS: list[Any] = [
    *["", " ", ".", "..", "...", "a/b", "a\\b", "../x", "/", "a\0b", "a\nb", " a", "a ", "a.", "C:x", 'a"b'],
    *["*", "\ud800", "x" * 121, "日" * 41, "a\u202eb", None, 7, b"x", ["x"]],
]


@pytest.mark.parametrize("wrong", WRONG_IDS, ids=ascii)
def test_an_id_that_is_no_name_is_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="session_id"):
        FileSessionManager(wrong, tmp_path)
    with pytest.raises(InvalidInputError, match="session_id"):
        S3SessionManager(wrong, "bucket", region_name="us-east-1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["..", "a\0b", " a", "x" * 121, "a:b"], ids=ascii)
def test_an_agents_id_that_is_no_name_is_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="agent_id"):
        agent_with(FileSessionManager("s", tmp_path), agent_id=wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("right", ["a", "2026-11-21 sales", "日" * 40, "x" * 120, "a.b", "-", "{}", "été"], ids=ascii)
def test_other_ids_work(right: str, manager: Manager) -> None:
    changed(agent_with(manager(right), agent_id=right), text("user", "hello"))
    assert agent_with(manager(right), agent_id=right).messages == [text("user", "hello")]


def test_a_journal_of_something_else_or_a_damaged_one_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    path.parent.mkdir()
    for content in (b"Dear diary,\n", b"Dear diary", b"{}\n", b'{"sum":"00000000",\n'):
        path.write_bytes(content)
        with pytest.raises(SessionDamagedError, match=r"agent_default\.jsonl"):
            agent_with(FileSessionManager("s", tmp_path))
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "unknown"},
        {"kind": "message", "message": "text"},
        {"kind": "splice", "start": 1, "count": 1, "messages": []},
        {"kind": "splice", "start": -1, "count": 0, "messages": []},
        {"kind": "splice", "start": 0, "count": 0, "messages": ["text"]},
        {"kind": "state", "state": None},
    ],
)
def test_entries_that_make_no_sense_are_refused_in_words(entry: Any, tmp_path: Path) -> None:
    from backchannel.agents.session_entries import FORMAT

    journal = Journal(FileStore(file_of(tmp_path)), FORMAT)
    journal.open()
    journal.append(entry)
    journal.close()
    for _ in range(2):
        with pytest.raises(SessionDamagedError, match=rf"entry 0 of .* kind '{entry['kind']}'"):
            agent_with(FileSessionManager("s", tmp_path))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionStorageError, match=r"session_s/agent_default\.jsonl could not be opened: .+"):
        agent_with(FileSessionManager("s", tmp_path / "file"))


def test_a_bucket_that_is_not_there_is_named() -> None:
    with mock_aws():
        session = boto3.Session("id", "secret", region_name="us-east-1")
        with pytest.raises(SessionStorageError, match="s3://nowhere/session_s/agent_default/ could not be listed"):
            agent_with(S3SessionManager("s", "nowhere", boto_session=session))


def test_a_conversation_whose_journal_was_removed_is_told_so(tmp_path: Path) -> None:
    agent = agent_with(FileSessionManager("s", tmp_path), expect_text("hello"), say("Hi."))

    async def scene() -> None:
        async with agent:
            file_of(tmp_path).unlink()
            await agent.send("hello")
            async for _ in agent.receive():
                pass

    with pytest.raises(SessionConflictError, match="was removed"):
        run(scene())


@virtual_time
async def test_many_sessions_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("many")
    agents = [
        agent_with(FileSessionManager(f"s{number}", place), expect_text("hello"), say("Hi.")) for number in range(30)
    ]
    await asyncio.gather(*(talk(agent, "hello") for agent in agents))
    assert all(agent_with(FileSessionManager(f"s{n}", place)).messages == agents[n].messages for n in range(30))


def test_a_restored_state_is_there_for_hooks_that_run_after(tmp_path: Path) -> None:
    changed(agent_with(FileSessionManager("s", tmp_path), state={"a": 1}), text("user", "x"))
    run(talk(agent_with(FileSessionManager("s", tmp_path), state={"a": 1})))
    seen: list[Any] = []

    class Watcher:
        def register_hooks(self, registry: HookRegistry, **options: Any) -> None:
            registry.add_callback(BidiAgentInitializedEvent, lambda event: seen.append(event.agent.state.get()))

    BidiAgent(ScriptedModel(), hooks=[FileSessionManager("s", tmp_path), Watcher()])
    assert seen == [{"a": 1}]


def test_errors_of_sessions_are_errors_of_backchannel_and_logged_nowhere_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "file").write_text("")
    with pytest.raises(BackchannelError):
        agent_with(FileSessionManager("s", tmp_path / "file"))
    assert caplog.text == ""
