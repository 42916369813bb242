"""AsyncAgent: results reach whatever agent there is, once, one invocation at a time. Real threads, no clock."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import re
import threading
import unittest.mock

import pytest

from backchannel import AsyncAgent, AsyncTaskResult, AsyncToolManager, BidiAgent, ScriptedModel, async_tool
from backchannel.agents.reply import Reply
from backchannel.errors import AgentStateError, InvalidInputError
from backchannel.models.scripted import expect_announcement, expect_text, say

WAIT = 30


@pytest.fixture
def manager():
    with AsyncToolManager(max_workers=8) as made:
        yield made


class Recorder:
    """An agent that writes down what it was given, and notices when it is asked twice at a time."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.overlaps = 0
        self._lock = threading.Lock()
        self.gate: threading.Event | None = None
        self.entered = threading.Event()
        self.errors: list[BaseException] = []

    def __call__(self, prompt: str) -> str:
        if not self._lock.acquire(blocking=False):
            self.overlaps += 1
            return "overlap"
        try:
            self.prompts.append(prompt)
            self.entered.set()
            if self.gate is not None:
                assert self.gate.wait(WAIT)
            if self.errors:
                raise self.errors.pop(0)
            return f"answer {len(self.prompts)}"
        finally:
            self._lock.release()


def result(task_id: str) -> AsyncTaskResult:
    return AsyncTaskResult(task_id, "train", {}, "fine", None, 1.0)


def test_a_prompt_is_answered(manager):
    agent = Recorder()
    with AsyncAgent(agent, manager) as talk:
        reply = talk.send("hello")
        assert reply.result(WAIT) == "answer 1"
    assert agent.prompts == ["hello"]


def test_the_result_of_a_task_is_told_with_all_that_belongs_to_it(manager):
    agent, replies = Recorder(), []

    @async_tool(manager)
    def train(data: str) -> str:
        """Train."""
        return f"trained on {data}"

    with AsyncAgent(agent, manager, on_reply=replies.append) as talk:
        task = train("sales")
        assert talk.join(WAIT)
    (told,) = agent.prompts
    for part in (task.id, "train", "sales", "trained on sales"):
        assert part in told
    assert replies == ["answer 1"]
    assert task.delivered


def test_an_error_is_told_as_one(manager):
    agent = Recorder()
    with AsyncAgent(agent, manager) as talk:
        manager.submit("divide", lambda: 1 // 0)
        assert talk.join(WAIT)
    assert "ZeroDivisionError" in agent.prompts[0]


def test_eight_tasks_that_finish_at_one_instant_give_one_delivery(manager):
    agent, together = Recorder(), threading.Barrier(8)
    with AsyncAgent(agent, manager, gather_s=60) as talk:
        ids = [manager.submit("wait", together.wait) for _ in range(8)]
        assert talk.join(WAIT)
    (told,) = agent.prompts
    assert all(told.count(f"Task {task_id}") == 1 for task_id in ids)
    assert agent.overlaps == 0


def test_what_comes_while_the_agent_is_busy_is_told_after_it_in_one_message(manager):
    agent = Recorder()
    agent.gate = threading.Event()
    with AsyncAgent(agent, manager) as talk:
        reply = talk.send("hello")
        assert agent.entered.wait(WAIT)
        assert talk.busy
        ids = [manager.submit("add", lambda: 2) for _ in range(3)]
        for task_id in ids:
            manager.task(task_id).wait(WAIT)
        talk.on_result(result("by hand"))
        agent.gate.set()
        assert reply.result(WAIT) == "answer 1"
        assert talk.join(WAIT)
    assert len(agent.prompts) == 2
    assert all(task_id in agent.prompts[1] for task_id in [*ids, "by hand"])


def test_many_senders_and_many_tasks_never_meet_in_the_agent(manager):
    agent = Recorder()
    with AsyncAgent(agent, manager, gather_s=0) as talk:
        replies: list[Reply] = []

        def work(name: int) -> None:
            for number in range(10):
                replies.append(talk.send(f"{name}.{number}"))
                manager.submit("square", lambda value: value * value, value=number)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert talk.join(WAIT)
        assert len({reply.result(WAIT) for reply in replies}) == 50
        assert talk.owed == ()
    assert agent.overlaps == 0
    told = "".join(agent.prompts)
    assert all(told.count(f"Task {task.id}") == 1 for task in manager.tasks)


def test_an_agent_that_raises_keeps_the_result_and_says_so(manager, caplog):
    agent = Recorder()
    agent.errors = [ConnectionError("no network")]
    talk = AsyncAgent(agent, manager)
    task_id = manager.submit("add", lambda: 2)
    assert not talk.join(WAIT)
    assert [owed.task_id for owed in talk.owed] == [task_id]
    assert isinstance(talk.failure, ConnectionError)
    assert task_id in caplog.text
    assert "no network" in caplog.text
    assert not manager.task(task_id).delivered
    talk.drain_queue()
    assert talk.join(WAIT)
    assert talk.owed == ()
    assert talk.failure is None
    assert "told this already" in agent.prompts[1]
    talk.close()


def test_an_agent_that_raises_now_and_then_takes_every_result_once(manager):
    taken: list[str] = []
    calls = 0

    def agent(prompt: str) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise ConnectionError("gone for a moment")
        taken.append(prompt)

    talk = AsyncAgent(agent, manager, gather_s=0)
    threads = [
        threading.Thread(target=lambda: [manager.submit("double", lambda x: 2 * x, x=n) for n in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    for _ in range(50):
        if talk.join(WAIT):
            break
        talk.drain_queue()
    talk.close()
    assert talk.owed == ()
    told = re.findall(r"(?m)^Task (\w{8}),", "\n".join(taken))
    assert sorted(told) == sorted(task.id for task in manager.tasks)
    assert len(told) == 200


def test_a_prompt_that_fails_raises_where_it_is_asked_for_and_the_agent_goes_on(manager):
    agent = Recorder()
    agent.errors = [ValueError("too long"), SystemExit("bye")]
    with AsyncAgent(agent, manager) as talk:
        with pytest.raises(ValueError, match="too long"):
            talk.send("one").result(WAIT)
        with pytest.raises(RuntimeError, match="SystemExit: bye"):
            talk.send("two").result(WAIT)
        assert talk.send("three").result(WAIT) == "answer 3"


def test_a_failed_reply_that_nobody_asks_for_is_logged(manager, caplog):
    agent = Recorder()
    agent.errors = [ValueError("too long")]
    with AsyncAgent(agent, manager) as talk:
        talk.send("one")
    gc.collect()
    assert "nobody asked for its reply: too long" in caplog.text


def test_a_prompt_can_be_taken_back_while_it_waits(manager):
    agent = Recorder()
    agent.gate = threading.Event()
    with AsyncAgent(agent, manager) as talk:
        talk.send("one")
        assert agent.entered.wait(WAIT)
        two = talk.send("two")
        assert two.cancel()
        agent.gate.set()
    assert agent.prompts == ["one"]
    assert two.done()


def test_a_closed_one_refuses_and_lets_the_turn_end(manager):
    agent = Recorder()
    agent.gate = threading.Event()
    talk = AsyncAgent(agent, manager)
    one = talk.send("one")
    assert agent.entered.wait(WAIT)
    two = talk.send("two")
    talk.close()
    talk.close()
    with pytest.raises(AgentStateError, match="closed"):
        two.result(WAIT)
    with pytest.raises(AgentStateError, match="closed"):
        talk.send("three")
    agent.gate.set()
    assert one.result(WAIT) == "answer 1"
    manager.task(manager.submit("add", lambda: 1)).wait(WAIT)
    assert agent.prompts == ["one"]


def test_a_silent_task_is_not_told(manager):
    agent = Recorder()
    with AsyncAgent(agent, manager) as talk:
        manager.start("add", lambda: 1, {}, announce="never")
        assert talk.join(WAIT)
    assert agent.prompts == []


def test_a_cancelled_task_is_told_as_cancelled(manager):
    agent, release = Recorder(), threading.Event()
    with AsyncAgent(agent, manager) as talk:
        task = manager.task(manager.submit("wait", release.wait))
        task.cancel()
        assert talk.join(WAIT)
    release.set()
    assert "was cancelled" in agent.prompts[0]


def test_each_of_two_agents_is_told_of_its_own_tasks(manager):
    @async_tool(manager)
    def add(one: int, two: int) -> int:
        """Add."""
        return one + two

    first, second = [], []

    def starts(log: list[str], start: str) -> object:
        def agent(prompt: str) -> None:
            log.append(prompt)
            if prompt == "go":
                log.append(add(1, 1 if start == "first" else 2).id)

        return agent

    with AsyncAgent(starts(first, "first"), manager) as one, AsyncAgent(starts(second, "second"), manager) as two:
        one.send("go").result(WAIT)
        two.send("go").result(WAIT)
        by_hand = add(5, 5)
        assert one.join(WAIT)
        assert two.join(WAIT)
    told_first, told_second = " ".join(first[2:]), " ".join(second[2:])
    assert first[1] in told_first
    assert first[1] not in told_second
    assert second[1] in told_second
    assert second[1] not in told_first
    assert by_hand.id in told_second
    assert by_hand.id not in told_first


def test_tasks_that_run_when_it_is_made_are_its_own(manager):
    release = threading.Event()
    agent = Recorder()
    task_id = manager.submit("wait", release.wait)
    with AsyncAgent(agent, manager) as talk:
        release.set()
        assert talk.join(WAIT)
    assert task_id in agent.prompts[0]


def test_a_task_whose_end_is_told_before_its_beginning_is_told_once(manager):
    manager.subscribe(lambda task, _: manager.resolve(task, "early"), ("queued",))
    agent = Recorder()
    with AsyncAgent(agent, manager) as talk:
        task = manager.defer("look")
        assert talk.join(WAIT)
    (told,) = agent.prompts
    assert told.count(f"Task {task.id}") == 1


def test_what_somebody_else_is_to_finish_is_told_and_not_waited_for(manager):
    agent = Recorder()
    with AsyncAgent(agent, manager) as talk:
        task = manager.defer("look")
        assert talk.join(WAIT)
        assert agent.prompts == []
        manager.resolve(task, "found")
        assert talk.join(WAIT)
    assert "found" in agent.prompts[0]


def test_thousands_of_short_tasks_are_told_once_each(manager):
    prompts: list[str] = []
    with AsyncAgent(prompts.append, manager) as talk:
        ids = [manager.submit("increase", lambda value: value + 1, value=number) for number in range(3000)]
        assert talk.join(WAIT)
    assert sorted(re.findall(r"(?m)^Task (\w{8}),", "\n".join(prompts))) == sorted(ids)


def test_waiting_for_the_agent_in_its_own_turn_is_refused(manager):
    errors: list[Exception] = []

    def agent(prompt: str) -> str:
        for wait in (lambda: talk.send("inner").result(), talk.join):
            with pytest.raises(AgentStateError, match="block for ever") as caught:
                wait()
            errors.append(caught.value)
        return prompt

    talk = AsyncAgent(lambda prompt: agent(prompt) if prompt == "outer" else prompt, manager)
    assert talk.send("outer").result(WAIT) == "outer"
    assert len(errors) == 2
    assert talk.join(WAIT)
    talk.close()


def test_waiting_in_on_reply_is_refused_and_its_errors_are_logged(manager, caplog):
    def on_reply(_: object) -> None:
        talk.join()

    with AsyncAgent(Recorder(), manager, on_reply=on_reply) as talk:
        talk.on_result(result("a"))
        assert talk.join(WAIT)
    assert "block for ever" in caplog.text


def test_the_prompt_runs_in_the_context_of_its_sender(manager):
    cell = contextvars.ContextVar("cell", default="none")
    with AsyncAgent(lambda _: cell.get(), manager) as talk:
        cell.set("seven")
        assert talk.send("where?").result(WAIT) == "seven"


def test_no_thread_stays_when_there_is_nothing_to_do(manager):
    with AsyncAgent(Recorder(), manager) as talk:
        talk.send("hello").result(WAIT)
        talk.join(WAIT)
        assert talk._worker is None


@pytest.mark.parametrize("prompt", [None, "", "  \n"])
def test_an_empty_prompt_is_refused(manager, prompt):
    with AsyncAgent(Recorder(), manager) as talk, pytest.raises(InvalidInputError, match="empty"):
        talk.send(prompt)


def test_what_cannot_be_used_is_refused_in_words(manager):
    with pytest.raises(TypeError, match="must be an AsyncToolManager, not int"):
        AsyncAgent(print, 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="cannot be an agent"):
        AsyncAgent(object(), manager)
    with pytest.raises(InvalidInputError, match="class Recorder; give an instance"):
        AsyncAgent(Recorder, manager)
    with pytest.raises(InvalidInputError, match="gather_s"):
        AsyncAgent(print, manager, gather_s=-1)
    with AsyncAgent(print, manager) as talk, pytest.raises(InvalidInputError, match="already"):
        AsyncAgent(talk, manager)


def test_prompts_are_taken_while_a_listener_is_told_that_a_result_was_told(manager):
    entered, release = threading.Event(), threading.Event()

    def listen(task, _):
        entered.set()
        assert release.wait(WAIT)

    with AsyncAgent(Recorder(), manager) as talk:
        manager.subscribe(listen, ["told"])
        manager.submit("add", lambda: 4)
        assert entered.wait(WAIT)
        sent = threading.Thread(target=talk.send, args=("hello",), daemon=True)
        sent.start()
        sent.join(WAIT)
        assert not sent.is_alive()
        assert not talk.join(0)
        release.set()


def test_what_is_no_result_is_refused(manager):
    with AsyncAgent(Recorder(), manager) as talk:
        for other in ("done", manager.start("add", int, {}), None):
            with pytest.raises(TypeError, match="on_result takes an AsyncTaskResult"):
                talk.on_result(other)


def test_waiting_ends_after_the_time_out(manager):
    release = threading.Event()
    with AsyncAgent(lambda _: release.wait(WAIT), manager) as talk:
        reply = talk.send("hello")
        with pytest.raises(TimeoutError, match="it goes on"):
            reply.result(0.01)
        assert not talk.join(0.01)
        release.set()
        assert reply.result(WAIT) is True


# Agents of other makes


class Async:
    """As agents of Strands look, with a resource of one event loop."""

    def __init__(self) -> None:
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.prompts: list[str] = []

    async def invoke_async(self, prompt: str) -> str:
        self.loops.add(asyncio.get_running_loop())
        self.prompts.append(prompt)
        return prompt.upper()


async def test_in_asyncio_replies_are_awaited_and_nothing_blocks(manager):
    agent = Async()
    async with AsyncAgent(agent, manager) as talk:
        assert await talk.send("hello") == "HELLO"
        assert await asyncio.gather(talk.send("a"), talk.send("b")) == ["A", "B"]
        manager.submit("add", lambda: 2)
    assert "tool add" in agent.prompts[-1]
    assert len(agent.loops) == 1
    assert agent.loops != {asyncio.get_running_loop()}


async def test_an_agent_can_answer_on_the_callers_loop(manager):
    agent = Async()
    async with AsyncAgent(agent, manager, loop=asyncio.get_running_loop()) as talk:
        reply = talk.send("hello")
        with pytest.raises(AgentStateError, match="block for ever"):
            reply.result()
        assert await reply == "HELLO"
        assert agent.loops == {asyncio.get_running_loop()}


async def test_who_stops_waiting_does_not_stop_the_agent(manager):
    agent = Recorder()
    agent.gate = threading.Event()
    async with AsyncAgent(agent, manager) as talk:
        reply = talk.send("hello")
        waiting = asyncio.create_task(reply._ended())
        await asyncio.sleep(0)
        waiting.cancel()
        agent.gate.set()
        assert await reply == "answer 1"


def test_a_loop_that_does_not_run_is_said_so(manager):
    loop = asyncio.new_event_loop()
    with AsyncAgent(Async(), manager, loop=loop) as talk, pytest.raises(AgentStateError, match="does not run"):
        talk.send("hello").result(WAIT)
    loop.close()


async def test_a_background_coroutine_that_a_turn_started_goes_on_after_it(manager):
    @async_tool(manager)
    async def train() -> str:
        """Train."""
        loops.append(asyncio.get_running_loop())
        await asyncio.to_thread(go_on.wait, WAIT)
        return "trained"

    go_on, loops, prompts = threading.Event(), [], []

    async def agent(prompt: str) -> str:
        prompts.append(prompt)
        return str(train()) if prompt == "go" else prompt

    async with AsyncAgent(agent, manager) as talk:
        assert "background" in await talk.send("go")
        go_on.set()
    assert "trained" in prompts[1]


def test_async_functions_and_functions_that_return_awaitables_are_agents(manager):
    async def agent(prompt: str) -> str:
        await asyncio.sleep(0)
        return prompt[::-1]

    for ask in (agent, lambda prompt: agent(prompt)):
        with AsyncAgent(ask, manager) as talk:
            assert talk.send("abc").result(WAIT) == "cba"


def test_a_generator_that_answers_in_pieces_is_an_agent(manager):
    def spell(prompt):
        yield from prompt

    async def spell_later(prompt):
        for letter in prompt:
            yield letter

    async def count(prompt):
        return (len(word) for word in prompt.split())

    for agent, answer in ((spell, "two words"), (spell_later, "two words"), (count, [3, 5])):
        with AsyncAgent(agent, manager) as talk:
            assert talk.send("two words").result(WAIT) == answer


def test_of_an_agent_that_says_when_it_is_idle_send_is_taken(manager):
    agent = unittest.mock.MagicMock()
    with AsyncAgent(agent, manager) as talk:
        talk.send("hello").result(WAIT)
    agent.send.assert_called_once_with("hello")


def test_an_object_with_send_is_an_agent_as_the_seed_has_it(manager):
    class Seed:
        def __init__(self) -> None:
            self.sent: list[str] = []

        def send(self, prompt: str) -> None:
            self.sent.append(prompt)

    agent = Seed()
    with AsyncAgent(agent=agent, manager=manager) as talk:
        talk.send("Research quantum computing")
        manager.submit("research_topic", lambda topic: f"Findings about {topic}", topic="quantum computing")
    assert agent.sent[0] == "Research quantum computing"
    assert "Findings about quantum computing" in agent.sent[1]


async def test_a_bidi_agent_tells_the_results_of_its_tools_itself(manager):
    @async_tool(manager)
    def train() -> str:
        """Train."""
        return "trained"

    model = ScriptedModel(expect_text("hello"), say("Yes."), expect_announcement("trained"), say("It is trained."))
    async with BidiAgent(model, tools=[train]) as agent, AsyncAgent(agent, manager) as talk:
        await talk.send("hello")
        task = train()
        assert talk.owed == ()
        async for event in agent.receive():
            if event.get("type") == "bidi_transcript_stream" and "trained" in event["text"]:
                break
        assert task.owner is agent
    model.check()


async def test_a_bidi_agent_is_told_results_of_another_manager_as_text(manager):
    model = ScriptedModel(expect_text("four"), say("It is four."))
    async with BidiAgent(model) as agent, AsyncAgent(agent, manager) as talk:
        manager.submit("add", lambda: "four")
        assert await talk.join_async()
    model.check()


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_agent_of_strands_is_told(manager, caplog, wrapped):
    strands = pytest.importorskip("strands")
    from strands.models import Model

    class Canned(Model):
        def __init__(self) -> None:
            self.calls = 0

        def update_config(self, **_: object) -> None: ...
        def get_config(self) -> dict[str, object]:
            return {}

        async def structured_output(self, *_: object, **__: object):
            yield {}

        async def stream(self, messages, *_: object, **__: object):
            self.calls += 1
            yield {"messageStart": {"role": "assistant"}}
            if self.calls == 1:
                use = {"toolUseId": "t1", "name": "train"}
                yield {"contentBlockStart": {"start": {"toolUse": use}}}
                yield {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"data": "sales"}'}}}}
                yield {"contentBlockStop": {}}
                yield {"messageStop": {"stopReason": "tool_use"}}
                return
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": f"call {self.calls}"}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}

    release = threading.Event()

    @async_tool(manager, grace_s=0)
    def train(data: str) -> str:
        """Train."""
        assert release.wait(WAIT)
        return f"trained on {data}"

    agent = strands.Agent(Canned(), tools=[strands.tool(train) if wrapped else train], callback_handler=None)
    assert "This tool works in the background" in agent.tool_registry.get_all_tool_specs()[0]["description"]
    replies: list[str] = []
    with AsyncAgent(agent, manager, on_reply=lambda answer: replies.append(str(answer).strip())) as talk:
        assert str(talk.send("Train on sales.").result(WAIT)).strip() == "call 2"
        release.set()
        assert talk.join(WAIT)
    assert replies == ["call 3"]
    texts = [block["text"] for message in agent.messages for block in message["content"] if "text" in block]
    assert sum("trained on sales" in text for text in texts) == 1
    (answer,) = [
        block["toolResult"] for message in agent.messages for block in message["content"] if "toolResult" in block
    ]
    assert answer["content"][0]["text"].startswith("Started train sales. It runs in the background as task 1")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_runnable_of_langchain_is_told(manager):
    runnables = pytest.importorskip("langchain_core.runnables")
    seen: list[str] = []
    with AsyncAgent(runnables.RunnableLambda(lambda prompt: seen.append(prompt) or prompt.upper()), manager) as talk:
        assert talk.send("hello").result(WAIT) == "HELLO"
        manager.submit("add", lambda: "four")
    assert "four" in seen[1]


def test_a_graph_is_given_a_message_of_the_users(manager):
    graphs = pytest.importorskip("langgraph.graph")

    def node(state):
        return {"messages": [{"role": "assistant", "content": f"heard {state['messages'][-1].content}"}]}

    builder = graphs.StateGraph(graphs.MessagesState)
    builder.add_node("model", node)
    builder.add_edge(graphs.START, "model")
    with AsyncAgent(builder.compile(), manager) as talk:
        assert talk.send("hello").result(WAIT)["messages"][-1].content == "heard hello"


def test_an_agent_that_says_that_it_is_busy_is_told_when_it_is_idle(manager):
    class Busy:
        def __init__(self) -> None:
            self.idle = threading.Event()
            self.asked = threading.Semaphore(0)
            self.given: list[str] = []

        def is_idle(self) -> bool:
            self.asked.release()
            return self.idle.is_set()

        def send(self, prompt: str) -> None:
            self.given.append(prompt)

    agent = Busy()
    with AsyncAgent(agent, manager) as talk:
        talk.on_result(result("a"))
        talk.on_result(result("b"))
        talk.drain_queue()
        assert agent.asked.acquire(timeout=WAIT)
        assert agent.asked.acquire(timeout=WAIT)
        assert agent.given == []
        assert [entry.task_id for entry in talk.queue] == ["a", "b"]
        reply = talk.send("hello")
        agent.idle.set()
        assert reply.result(WAIT) is None
        assert talk.join(WAIT)
        assert talk.queue == []
    assert sorted(len(re.findall("Task [ab],", text)) for text in agent.given) == [0, 2]


def test_a_task_that_one_agent_is_to_be_told_of_is_not_told_to_another(manager):
    first, second, third, gate = Recorder(), Recorder(), Recorder(), threading.Event()
    manager.submit("wait", gate.wait)
    talk = AsyncAgent(first, manager)
    with AsyncAgent(second, manager):
        talk.close()
        manager.submit("wait", gate.wait)
        with AsyncAgent(third, manager):
            gate.set()
    assert [len(agent.prompts) for agent in (first, second, third)] == [0, 1, 1]
    assert "2 background tasks" not in second.prompts[0] + third.prompts[0]


def test_a_prompt_is_refused_that_was_put_off_when_the_agent_was_closed(manager):
    asked, answer = threading.Semaphore(0), threading.Event()

    class Busy:
        def is_idle(self) -> bool:
            asked.release()
            assert answer.wait(WAIT)
            return False

        def send(self, prompt: str) -> None:
            raise AssertionError("it is never idle")

    talk = AsyncAgent(Busy(), manager)
    reply = talk.send("hello")
    assert asked.acquire(timeout=WAIT)
    talk.close()
    answer.set()
    with pytest.raises(AgentStateError, match="was closed"):
        reply.result(WAIT)


async def test_a_result_whose_call_was_cut_off_is_told(manager):
    agent, future = Recorder(), asyncio.get_running_loop().create_future()

    @async_tool(manager, grace_s=WAIT)
    async def train() -> str:
        """Train."""
        return await future

    async def call() -> None:
        use = {"toolUseId": "c1", "name": "train", "input": {}}
        async for _ in train.stream(use, {"agent": agent}):
            raise AssertionError("nobody is there to be answered")

    with AsyncAgent(agent, manager) as talk:
        asked = asyncio.create_task(call())
        while not manager.tasks:
            await asyncio.sleep(0)
        (task,) = manager.tasks
        task.add_done_callback(asked.cancel)
        future.set_result("fine")
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await talk.join_async()
    (told,) = agent.prompts
    assert task.id in told
    assert task.delivered


def test_an_agent_whose_idleness_cannot_be_told_is_asked(manager):
    class Odd:
        def is_idle(self) -> bool:
            raise RuntimeError("who knows")

        def send(self, prompt: str) -> str:
            return prompt.upper()

    with AsyncAgent(Odd(), manager) as talk:
        assert talk.send("hello").result(WAIT) == "HELLO"


def test_an_agent_of_strands_that_somebody_else_has_invoked_is_told_afterwards(manager, caplog):
    strands = pytest.importorskip("strands")
    from strands.models import Model

    entered, release, refused = threading.Event(), threading.Event(), threading.Semaphore(0)

    class Slow(Model):
        def update_config(self, **_: object) -> None: ...
        def get_config(self) -> dict[str, object]:
            return {}

        async def structured_output(self, *_: object, **__: object):
            yield {}

        async def stream(self, messages, *_: object, **__: object):
            entered.set()
            assert release.wait(WAIT)
            yield {"messageStart": {"role": "assistant"}}
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": f"{len(messages)} messages"}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}

    class Watched(strands.Agent):
        async def invoke_async(self, *given: object, **named: object):
            try:
                return await super().invoke_async(*given, **named)
            except Exception:
                refused.release()
                raise

    agent = Watched(Slow(), callback_handler=None)
    direct = threading.Thread(target=agent, args=("by hand",))
    direct.start()
    assert entered.wait(WAIT)
    with AsyncAgent(agent, manager) as talk:
        manager.submit("add", lambda: "four")
        assert refused.acquire(timeout=WAIT)
        reply = talk.send("hello")
        release.set()
        assert "messages" in str(reply.result(WAIT))
        assert talk.join(WAIT)
    direct.join(WAIT)
    texts = [block["text"] for message in agent.messages for block in message["content"] if "text" in block]
    assert sum("Result: four" in text for text in texts) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_lost_task_that_was_run_again_is_not_told_as_lost(tmp_path):
    gate, idle, asked = threading.Event(), threading.Event(), threading.Semaphore(0)
    with AsyncToolManager(ledger=tmp_path / "first") as gone:
        async_tool(gone, name="train")(lambda: gate.wait(WAIT))()
        (tmp_path / "second").write_bytes((tmp_path / "first").read_bytes())
        gate.set()

    class Busy(Recorder):
        def is_idle(self) -> bool:
            asked.release()
            return idle.is_set()

    agent = Busy()
    with AsyncToolManager(ledger=tmp_path / "second") as manager:
        train = async_tool(manager, name="train")(lambda: "trained")
        (lost,) = manager.tasks
        with AsyncAgent(agent, manager):
            assert asked.acquire(timeout=WAIT)
            again = manager.run_again(lost)
            idle.set()
    assert train.manager is manager
    assert lost.status == "lost"
    (told,) = agent.prompts
    assert f"Task {again.id}" in told
    assert f"Task {lost.id}" not in told


class Picky(Recorder):
    """Refuses a text with a word in it, each time."""

    def __call__(self, prompt: str) -> str:
        if "forbidden" in prompt:
            raise ValueError("this text is refused")
        return super().__call__(prompt)


@pytest.mark.parametrize("values", [["forbidden"], ["a", "forbidden", "b"], ["forbidden", "forbidden", "a"]])
def test_a_result_that_the_agent_refuses_holds_back_no_other(manager, values):
    agent, replies = Picky(), []
    with AsyncAgent(agent, manager, on_reply=replies.append) as talk:
        for index, value in enumerate(values):
            talk.on_result(AsyncTaskResult(str(index), "train", {}, value, None, 1.0))
        assert talk.join(WAIT)
        assert talk.owed == ()
    told = "\n".join(agent.prompts)
    assert told.count("could not be given to you") == values.count("forbidden")
    assert all(f"Task {index}," in told for index in range(len(values)))
    assert len(replies) == len(agent.prompts)


def test_a_result_that_utf_8_cannot_carry_is_delivered(manager):
    agent = Recorder()

    @async_tool(manager)
    def ls() -> list[str]:
        """List."""
        return ["caf\udce9.csv"]

    with AsyncAgent(agent, manager) as talk:
        task = ls()
        assert talk.join(WAIT)
    assert task.delivered
    assert "caf\ufffd.csv" in agent.prompts[0].encode().decode()
