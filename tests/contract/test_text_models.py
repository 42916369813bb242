"""What every text model does: the same scenarios over Bedrock's event stream, OpenAI's two APIs, and the script."""

from __future__ import annotations

import asyncio
import builtins
import json
import re
import threading
from typing import Any

import pytest
from botocore.config import Config

from backchannel import tool
from backchannel.agents import Agent
from backchannel.errors import InvalidInputError, MissingExtraError, ModelError, ModelThrottledError
from backchannel.messages import ToolResult, tool_pair, validate_messages
from backchannel.models import (
    BedrockConverseModel,
    OpenAIChatModel,
    OpenAIResponsesModel,
    ScriptedTextModel,
    TextModel,
)
from backchannel.models.scripted_text import Answer
from tests.support.text_servers import BedrockServer, ChatServer, Reply, ResponsesServer, TextServer

pytest.importorskip("openai")


@tool
def add(one: int, two: int) -> int:
    """Add two numbers."""
    return one + two


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


SERVERS = {"bedrock": BedrockServer, "openai": ChatServer, "responses": ResponsesServer}


class Provider:
    """A model, and what stands for its server."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.server: TextServer | None = None

    def model(self, *replies: Reply, **options: Any) -> Any:
        if self.kind == "scripted":
            return ScriptedTextModel(*map(_answer, replies))
        self.server = SERVERS[self.kind](list(replies))
        return make(self.kind, self.server.url, **options)

    def close(self) -> None:
        if self.server is not None:
            self.server.close()


def make(kind: str, url: str, **options: Any) -> Any:
    if kind == "bedrock":
        import boto3

        session = boto3.Session(aws_access_key_id="id", aws_secret_access_key="secret", region_name="eu-west-1")
        config = Config(retries={"total_max_attempts": 1}, read_timeout=20, proxies={})
        model_id = options.pop("model_id", "a.model-v1:0")
        return BedrockConverseModel(
            model_id, boto_session=session, boto_client_config=config, endpoint_url=url, **options
        )
    model = OpenAIChatModel if kind == "openai" else OpenAIResponsesModel
    return model("a-model", base_url=f"{url}/v1", api_key="secret", max_retries=0, **options)


def _answer(reply: Reply) -> Answer:
    error: Exception | None = None
    if reply.status == 429:
        error = ModelThrottledError(reply.error)
    elif reply.error:
        error = ModelError(reply.error)
    elif reply.breaks_off:
        error = ModelError("the model's answer broke off")
    calls = [(name, "".join(pieces)) for _, name, pieces in reply.calls]
    return Answer("\n".join(reply.text), calls, error=error, stop_reason="max_tokens" if reply.cut else None)


@pytest.fixture(params=[*SERVERS, "scripted"])
def provider(request):
    made = Provider(request.param)
    yield made
    made.close()


@pytest.fixture(params=list(SERVERS))
def server(request):
    made = Provider(request.param)
    yield made
    made.close()


async def test_it_is_a_text_model_and_answers(provider):
    model = provider.model(Reply(text=("größe 測試",)))
    assert isinstance(model, TextModel)
    result = await Agent(model).invoke_async("hello")
    assert (result.text, result.stop_reason) == ("größe 測試", "end_turn")


async def test_calls_come_in_pieces_and_their_results_go_back(provider):
    calls = (("a", "add", ('{"one": 1,', ' "two": 2}')), ("b", "add", ('{"one": 3, "two": 4}',)))
    agent = Agent(provider.model(Reply(text=("Let me see.",), calls=calls), Reply(text=("3 and 7.",))), [add])
    result = await agent.invoke_async("add")
    assert (result.text, result.model_calls) == ("3 and 7.", 2)
    uses = [block["toolUse"]["input"] for block in agent.messages[1]["content"] if "toolUse" in block]
    assert uses == [{"one": 1, "two": 2}, {"one": 3, "two": 4}]
    assert validate_messages(agent.messages) == []


async def test_an_answer_that_is_too_long_says_so(provider):
    result = await Agent(provider.model(Reply(text=("On and on",), cut=True))).invoke_async("go")
    assert result.stop_reason == "max_tokens"


async def test_a_provider_that_takes_no_more_is_an_error_of_its_own(provider):
    agent = Agent(provider.model(Reply(status=429, error="Too many requests"), Reply(text=("Now.",))))
    with pytest.raises(ModelThrottledError, match="Too many requests"):
        await agent.invoke_async("go")
    assert agent.messages == []
    assert (await agent.invoke_async("go")).text == "Now."


async def test_an_error_in_the_middle_of_an_answer_is_told_in_words(provider):
    agent = Agent(provider.model(Reply(text=("I thi",), fails_with="modelStreamErrorException", error="it broke")))
    with pytest.raises(ModelError, match="it broke"):
        await agent.invoke_async("go")
    assert agent.messages == []


async def test_an_answer_that_breaks_off_is_none(provider):
    agent = Agent(provider.model(Reply(text=("I thi",), breaks_off=True), Reply(text=("I think.",))))
    with pytest.raises(ModelError, match="broke off"):
        await agent.invoke_async("go")
    assert (await agent.invoke_async("go")).text == "I think."


# With a server


async def test_tokens_are_counted_over_all_calls(server):
    call = Reply(calls=(("a", "add", ('{"one": 1, "two": 2}',)),))
    result = await Agent(server.model(call, Reply(text=("3.",))), [add]).invoke_async("go")
    assert result.usage == {"inputTokens": 6, "outputTokens": 8, "totalTokens": 14}


async def test_without_a_count_of_tokens_there_is_none(server):
    assert (await Agent(server.model(Reply(text=("Hi.",), usage=None))).invoke_async("go")).usage == {}


async def test_pieces_arrive_while_the_model_writes(server):
    gate = threading.Event()
    agent = Agent(server.model(Reply(text=("One ", "two."), gate=gate)))
    seen = []
    async for event in agent.stream_async("go"):
        if isinstance(event, dict) and event.get("type") == "bidi_transcript_stream":
            seen.append((event["text"], gate.is_set()))
            gate.set()
    assert seen == [("One ", False), ("two.", True), ("One two.", True)]


async def test_who_stops_reading_ends_the_request_and_may_ask_again(server):
    gate = threading.Event()
    agent = Agent(server.model(Reply(text=("One ", "two."), gate=gate), Reply(text=("Three.",))))
    begun = asyncio.Event()

    async def read() -> None:
        async for event in agent.stream_async("go"):
            if isinstance(event, dict) and event.get("type") == "bidi_transcript_stream":
                begun.set()

    work = asyncio.create_task(read())
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    gate.set()
    assert agent.messages == []
    assert (await agent.invoke_async("again")).text == "Three."


async def test_a_server_that_is_not_there_is_said_so(server):
    server.model()
    url = server.server.url
    server.close()
    server.server = None
    with pytest.raises(ModelError, match=r"could not be asked|cannot be reached"):
        await Agent(make(server.kind, url)).invoke_async("go")


@pytest.mark.parametrize(
    ("status", "advice"), [(403, r"allow bedrock|check api_key"), (404, "check"), (400, "a fault")]
)
async def test_a_refusal_says_what_to_do(server, status, advice):
    agent = Agent(server.model(Reply(status=status, error="a fault")))
    with pytest.raises(ModelError, match=advice) as caught:
        await agent.invoke_async("go")
    assert "a fault" in str(caught.value)
    assert "secret" not in str(caught.value)


# What is sent


async def test_bedrock_is_given_prompt_tools_settings_and_results():
    provider = Provider("bedrock")
    call = Reply(calls=(("a", "add", ('{"one": 1, "two": 2}',)),))
    model = provider.model(call, Reply(text=("3.",)), temperature=0.5, max_tokens=99, stop_sequences=["END"])
    await Agent(model, [add], system_prompt="Be brief.").invoke_async("add")
    provider.close()
    first, second = provider.server.requests
    assert provider.server.paths[0] == "/model/a.model-v1%3A0/converse-stream"
    assert first["system"] == [{"text": "Be brief."}]
    assert first["inferenceConfig"] == {"temperature": 0.5, "maxTokens": 99, "stopSequences": ["END"]}
    assert first["toolConfig"]["tools"][0]["toolSpec"]["name"] == "add"
    result = {"toolUseId": "a", "content": [{"text": "3"}]}
    assert second["messages"][2] == {"role": "user", "content": [{"toolResult": result}]}


async def test_what_bedrock_would_refuse_for_ever_does_not_stay_in_the_way():
    @tool(name="odd")
    def odd() -> ToolResult:
        """Return all kinds of things."""
        content = [{"json": [1, 2]}, {"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": b"x"}}}]
        return {"toolUseId": "x" * 80, "status": "success", "content": content}

    provider = Provider("bedrock")
    calls = (("tool/1", "odd", ("",)), ("b", "functions.odd", ("{}",)))
    document = {"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": b"x"}}}
    agent = Agent(provider.model(Reply(calls=calls), Reply(text=("Fine.",))), [odd])
    agent.messages += [{"role": "assistant", "content": [{"text": "Hello."}]}]
    assert (await agent.invoke_async([document])).text == "Fine."
    provider.close()
    begin, hello, asked, called, results = provider.server.requests[1]["messages"]
    assert [begin["role"], hello["role"]] == ["user", "assistant"]
    assert [next(iter(block)) for block in asked["content"]] == ["document", "text"]
    uses = [block["toolUse"] for block in called["content"]]
    assert [use["name"] for use in uses] == ["odd", "functions_odd"]
    answers = [block["toolResult"] for block in results["content"]]
    assert [use["toolUseId"] for use in uses] == [answer["toolUseId"] for answer in answers]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", use["toolUseId"]) for use in uses)
    assert answers[0]["content"][0] == {"text": "[1, 2]"}
    names = [asked["content"][0]["document"]["name"], answers[0]["content"][1]["document"]["name"]]
    assert names == ["a-pdf", "a-pdf (2)"]
    assert agent.messages[2]["content"][0]["toolUse"]["toolUseId"] == "tool/1"


@pytest.mark.parametrize(("model_id", "together"), [("us.anthropic.claude", True), ("meta.llama4", False)])
async def test_results_and_what_is_said_after_them_are_kept_apart_for_models_that_want_it(model_id, together):
    provider = Provider("bedrock")
    agent = Agent(provider.model(Reply(text=("Hi.",)), model_id=model_id), [add])
    use = {"toolUseId": "a", "name": "add", "input": {"one": 1, "two": 2}}
    result = {"toolUseId": "a", "status": "success", "content": [{"text": "3"}]}
    agent.messages += [{"role": "user", "content": [{"text": "add"}]}, *tool_pair(use, result)]
    await agent.invoke_async("and now?")
    provider.close()
    messages = provider.server.requests[0]["messages"]
    assert len(messages) == (3 if together else 5)
    assert ("status" in messages[2]["content"][0]["toolResult"]) is together


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("throttlingException", ModelThrottledError, "try again"),
        ("serviceUnavailableException", ModelError, "try again in a moment"),
        ("validationException", ModelError, "conversation_manager"),
    ],
)
async def test_what_bedrock_says_in_the_middle_of_a_stream_is_told_with_advice(code, error, said):
    provider = Provider("bedrock")
    agent = Agent(provider.model(Reply(text=("I thi",), fails_with=code, error="Input is too long.")))
    with pytest.raises(error, match=said):
        await agent.invoke_async("go")
    provider.close()


NO_STREAMING = "This model doesn't support tool use in streaming mode."


async def test_bedrock_models_that_stream_no_tool_use_are_asked_for_the_whole_answer():
    provider = Provider("bedrock")
    calls = (("a", "add", ('{"one": 1, "two": 2}',)), ("b", "add", ('{"one": 3, "two": 4}',)))
    refused, call = Reply(status=400, error=NO_STREAMING), Reply(text=("Let me see.",), calls=calls)
    agent = Agent(provider.model(refused, call, Reply(text=("3 and 7.",)), Reply(text=("Bye.",))), [add])
    result = await agent.invoke_async("add")
    assert (result.text, result.usage["totalTokens"]) == ("3 and 7.", 14)
    assert validate_messages(agent.messages) == []
    agent.tool_registry.unregister("add")
    agent.messages.clear()
    assert (await agent.invoke_async("bye")).text == "Bye."
    provider.close()
    ways = [path.rpartition("/")[2] for path in provider.server.paths]
    assert ways == ["converse-stream", "converse", "converse", "converse-stream"]


async def test_a_whole_answer_that_is_refused_too_is_an_error_in_words():
    provider = Provider("bedrock")
    refused = Reply(status=400, error=NO_STREAMING)
    agent = Agent(provider.model(refused, Reply(status=429, error="Too many"), Reply(text=("Fine.",))), [add])
    with pytest.raises(ModelThrottledError, match="Too many"):
        await agent.invoke_async("go")
    assert (await agent.invoke_async("go")).text == "Fine."
    provider.close()


async def test_a_server_of_chat_completions_may_be_asked_for_the_whole_answer():
    provider = Provider("openai")
    calls = (("a", "add", ('{"one": 1, "two": 2}',)), ("b", "add", ('{"one": 3, "two": 4}',)))
    replies = Reply(text=("Let me see.",), calls=calls), Reply(text=("3 and 7.",))
    agent = Agent(provider.model(*replies, request={"stream": False}), [add])
    result = await agent.invoke_async("add")
    provider.close()
    assert (result.text, result.stop_reason, result.usage["totalTokens"]) == ("3 and 7.", "end_turn", 14)
    assert [next(iter(block)) for block in agent.messages[1]["content"]] == ["text", "toolUse", "toolUse"]
    assert provider.server.requests[0]["stream"] is False


async def test_bedrock_is_told_of_tools_that_are_gone():
    provider = Provider("bedrock")
    call = Reply(calls=(("a", "add", ('{"one": 1, "two": 2}',)),))
    agent = Agent(provider.model(call, Reply(text=("3.",)), Reply(text=("Bye.",))), [add])
    await agent.invoke_async("add")
    agent.tool_registry.unregister("add")
    await agent.invoke_async("bye")
    provider.close()
    (spec,) = provider.server.requests[2]["toolConfig"]["tools"]
    assert spec["toolSpec"]["name"] == "add"
    assert "do not call" in spec["toolSpec"]["description"]


async def test_chat_completions_are_given_prompt_tools_settings_images_and_results():
    provider = Provider("openai")
    call = Reply(text=("Well.",), calls=(("a", "add", ('{"one": 1, "two": 2}',)),))
    model = provider.model(call, Reply(text=("3.",)), request={"temperature": 0.5})
    image = {"image": {"format": "png", "source": {"bytes": b"png"}}}
    await Agent(model, [add], system_prompt="Be brief.").invoke_async([{"text": "add"}, image])
    provider.close()
    first, second = provider.server.requests
    assert first["temperature"] == 0.5
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in first["messages"][1]["content"]] == ["text", "image_url"]
    assert first["tools"][0]["function"]["name"] == "add"
    said, result = second["messages"][2:]
    assert said["content"] == "Well."
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"one": 1, "two": 2}
    assert result == {"role": "tool", "tool_call_id": "a", "content": "3"}


async def test_responses_are_given_prompt_tools_settings_images_and_results():
    provider = Provider("responses")
    reply = Reply(text=("Well.",), calls=(("a", "add", ('{"one": 1, "two": 2}',)),), reasoning=("I add.", "sealed"))
    model = provider.model(reply, Reply(text=("3.",)), request={"reasoning": {"effort": "low"}, "tools": [SEARCH]})
    image = {"image": {"format": "png", "source": {"bytes": b"png"}}}
    agent = Agent(model, [add], system_prompt="Be brief.")
    await agent.invoke_async([{"text": "add"}, image])
    provider.close()
    first, second = provider.server.requests
    assert provider.server.paths == ["/v1/responses"] * 2
    assert first["reasoning"] == {"effort": "low"}
    assert first["instructions"] == "Be brief."
    assert first["store"] is False
    assert "previous_response_id" not in second
    assert [part["type"] for part in first["input"][0]["content"]] == ["input_text", "input_image"]
    search, spec = first["tools"]
    assert search == SEARCH
    assert (spec["type"], spec["name"], spec["strict"], "async" in spec) == ("function", "add", False, False)
    thought, said, call, result = second["input"][1:]
    assert thought["encrypted_content"] == "sealed"
    assert thought["summary"] == [{"type": "summary_text", "text": "I add."}]
    assert said == {"type": "message", "role": "assistant", "content": "Well."}
    assert json.loads(call["arguments"]) == {"one": 1, "two": 2}
    assert result == {"type": "function_call_output", "call_id": "a", "output": "3"}


async def test_reasoning_of_one_model_is_not_given_to_another():
    agents = {}
    for kind in SERVERS:
        provider = Provider(kind)
        agents[kind] = provider, Agent(provider.model(Reply(text=("Bye.",)), Reply(text=("Bye.",))))
    provider = Provider("responses")
    agent = Agent(provider.model(Reply(text=("Hm.",), reasoning=("", "sealed"))))
    await agent.invoke_async("think")
    provider.close()
    foreign = {"reasoningContent": {"reasoningText": {"text": "of Claude", "signature": "c2ln"}}}
    for kind, (other, second) in agents.items():
        second.messages += [*agent.messages, {"role": "user", "content": [{"text": "again"}]}]
        second.messages.append({"role": "assistant", "content": [foreign, {"text": "Hm."}]})
        if kind == "bedrock":
            second.model.model_id = "anthropic.claude"
        if kind == "responses":
            second.model.model_id = "another-model"
        await second.invoke_async("bye")
        other.close()
        sent = json.dumps(other.server.requests[0])
        assert "sealed" not in sent
        assert ("of Claude" in sent) is (kind == "bedrock")


@pytest.mark.parametrize(("code", "error"), [("rate_limit_exceeded", ModelThrottledError), ("error", ModelError)])
async def test_a_response_that_fails_is_told_in_words(code, error):
    provider = Provider("responses")
    agent = Agent(provider.model(Reply(text=("I thi",), fails_with=code, error="it broke")))
    with pytest.raises(error, match="it broke"):
        await agent.invoke_async("go")
    provider.close()


async def test_a_server_that_sends_items_only_when_they_are_done_is_understood():
    provider = Provider("responses")
    message = {"type": "message", "role": "assistant", "id": "m", "status": "completed"}
    call = {"type": "function_call", "id": "f", "call_id": "a", "name": "add", "arguments": one(1)}
    items = [{**message, "content": [{"type": "output_text", "text": "Well.", "annotations": []}]}, call]
    raw = [
        sse({"type": "response.output_item.done", "output_index": at, "item": item}) for at, item in enumerate(items)
    ]
    raw.append(sse({"type": "response.completed", "response": {"status": "completed", "output": items}}))
    agent = Agent(provider.model(Reply(raw=tuple(raw)), Reply(text=("2.",))), [add])
    assert (await agent.invoke_async("add")).text == "2."
    provider.close()
    assert [next(iter(block)) for block in agent.messages[1]["content"]] == ["text", "toolUse"]
    assert provider.server.requests[1]["input"][-1]["output"] == "2"


SEARCH = {"type": "web_search"}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    choice = {"delta": delta, **({"finish_reason": finish_reason} if finish_reason else {})}
    return sse({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more})


def sse(body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def one(number: int) -> str:
    return json.dumps({"one": number, "two": 1})


DONE = b"data: [DONE]\n\n"
WHOLE = [{"type": "function", "function": {"name": "add", "arguments": one(number)}} for number in (1, 2)]
ODD_CALLS = {
    "whole, in one chunk, without index or id": (chunk({"tool_calls": WHOLE}), chunk({}, "stop")),
    "whole, all with index 0, without id": (
        *(chunk({"tool_calls": [{**call, "index": 0}]}) for call in WHOLE), chunk({}, "tool_calls"),
    ),
    "whole, all with index 0, with ids": (
        *(chunk({"tool_calls": [{**call, "index": 0, "id": f"c{at}"}]}) for at, call in enumerate(WHOLE)),
        chunk({}, "tool_calls"),
    ),
    "with id and name in every piece": (
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "add", "arguments": '{"one": 1'}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "add", "arguments": ', "two": 1}'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "add", "arguments": one(2)}}]}, "stop"),
    ),
    "in pieces, without index, then nulls": (
        chunk({"tool_calls": [{"index": None, "id": "a", "function": {"name": "add", "arguments": one(1)}}]}),
        chunk({"tool_calls": [{"id": "b", "function": {"name": "add", "arguments": '{"one": 2'}}]}),
        chunk({"tool_calls": [{"id": None, "function": {"name": None, "arguments": ', "two": 1}'}}]}),
        chunk({"content": None, "tool_calls": None}, "tool_calls"),
    ),
    "with arguments that are no text": (
        chunk({"tool_calls": [{"index": 0, "function": {"name": "add", "arguments": {"one": 1, "two": 1}}}]}),
        chunk({"tool_calls": [{"index": 1, "function": {"name": "add", "arguments": {"one": 2, "two": 1}}}]}, "stop"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("chunks", ODD_CALLS.values(), ids=ODD_CALLS)
async def test_calls_are_understood_in_whatever_way_a_server_sends_them(chunks):
    provider = Provider("openai")
    agent = Agent(provider.model(Reply(raw=(*chunks, DONE)), Reply(text=("2 and 3.",))), [add])
    seen = [event async for event in agent.stream_async("add")]
    provider.close()
    uses = [block["toolUse"] for block in agent.messages[1]["content"]]
    assert [use["input"] for use in uses] == [{"one": 1, "two": 1}, {"one": 2, "two": 1}]
    assert {use["name"] for use in uses} == {"add"}
    assert str(seen[-1]) == "2 and 3."
    assert validate_messages(agent.messages) == []
    results = [item["content"] for item in provider.server.requests[1]["messages"] if item["role"] == "tool"]
    assert results == ["2", "3"]


async def test_what_a_server_leaves_out_of_chunks_is_not_missed():
    provider = Provider("openai")
    chunks = (
        sse({"choices": []}), sse({"usage": {"prompt_tokens": 1}}), sse({"choices": [{}]}), sse({"choices": None}),
        chunk({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Fi"}]}),
        chunk({"content": "ne."}, "stop", usage={"prompt_tokens": 2, "completion_tokens": None, "total_tokens": 5}),
        chunk({"content": ""}), DONE,
    )  # fmt: skip
    result = await Agent(provider.model(Reply(raw=chunks))).invoke_async("go")
    provider.close()
    assert (result.text, result.stop_reason) == ("Fine.", "end_turn")
    assert result.usage == {"inputTokens": 2, "outputTokens": 0, "totalTokens": 5}


async def test_what_a_model_thinks_aloud_goes_back_to_it_and_to_no_other():
    provider = Provider("openai")
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "add", "arguments": one(1)}}]}
    thinking = (chunk({"reasoning_content": "Let me "}), chunk({"reasoning_content": "add."}), chunk(call), DONE)
    replies = [
        Reply(raw=(*thinking[:-1], chunk({}, "tool_calls"), DONE)), Reply(raw=(chunk(call), chunk({}, "stop"), DONE)),
        Reply(text=("2.",)), Reply(text=("Bye.",)),
    ]  # fmt: skip
    agent = Agent(provider.model(*replies), [add])
    assert (await agent.invoke_async("add")).text == "2."
    agent.model.model_id = "another-model"
    await agent.invoke_async("bye")
    provider.close()
    sent = [request["messages"] for request in provider.server.requests]
    thoughts = [message["reasoning_content"] for message in sent[2] if message["role"] == "assistant"]
    assert thoughts == ["Let me add.", ""]
    assert "reasoning_content" not in json.dumps(sent[0])
    assert "reasoning_content" not in json.dumps(sent[3])


@pytest.mark.parametrize(
    ("raw", "error", "said"),
    [
        (sse({"object": "error", "message": "out of memory", "code": 500}), ModelError, "out of memory"),
        (sse({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}), ModelThrottledError, "slow down"),
        (sse({"error": {"message": "it broke", "code": 500}}), ModelError, "it broke"),
        (b"data: {nonsense\n\n", ModelError, "cannot be read"),
    ],
)
async def test_what_goes_wrong_in_the_middle_of_chat_completions_is_told_in_words(raw, error, said):
    provider = Provider("openai")
    agent = Agent(provider.model(Reply(raw=(chunk({"content": "I thi"}), raw)), Reply(text=("Fine.",))))
    with pytest.raises(error, match=said):
        await agent.invoke_async("go")
    assert agent.messages == []
    assert (await agent.invoke_async("go")).text == "Fine."
    provider.close()


async def test_a_connection_that_breaks_in_the_middle_is_an_error_of_the_model(server):
    agent = Agent(server.model(Reply(text=("I thi",), breaks_off=True, hangs_up=True), Reply(text=("I think.",))))
    with pytest.raises(ModelError, match=r"broke|could not be asked"):
        await agent.invoke_async("go")
    assert agent.messages == []
    assert (await agent.invoke_async("go")).text == "I think."


@pytest.mark.parametrize("kind", ["openai", "responses"])
async def test_a_history_that_is_too_long_is_answered_with_advice(kind):
    provider = Provider(kind)
    agent = Agent(provider.model(Reply(status=400, error="This model's maximum context length is 8192 tokens.")))
    with pytest.raises(ModelError, match="conversation_manager"):
        await agent.invoke_async("go")
    provider.close()


@pytest.mark.parametrize("kind", ["openai", "responses"])
async def test_what_a_server_does_not_know_is_left_out_of_the_request(kind):
    provider = Provider(kind)
    model = provider.model(Reply(text=("Hi.",)), request={"stream_options": None, "store": None, "top_p": 0.5})
    await Agent(model).invoke_async("go")
    provider.close()
    (sent,) = provider.server.requests
    assert "stream_options" not in sent
    assert "store" not in sent
    assert sent["top_p"] == 0.5


async def test_without_credentials_or_region_bedrock_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(ModelError, match="no AWS region"):
        await Agent("a.model").invoke_async("go")
    model = BedrockConverseModel("a.model", region="eu-west-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(ModelError, match="no AWS credentials"):
        await Agent(model).invoke_async("go")


async def test_without_a_key_openai_says_what_is_missing():
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        await Agent(OpenAIChatModel("a-model")).invoke_async("go")


async def test_a_server_of_ones_own_needs_no_key():
    server = ChatServer([Reply(text=("Hi.",))])
    assert (await Agent(OpenAIChatModel("a-model", base_url=f"{server.url}/v1")).invoke_async("go")).text == "Hi."
    server.close()


@pytest.mark.parametrize("make_model", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_missing_package_names_its_extra(monkeypatch, make_model):
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openai":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"backchannel\[openai\]"):
        make_model("a-model")


@pytest.mark.parametrize("make_model", [BedrockConverseModel, OpenAIChatModel, OpenAIResponsesModel])
@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_a_model_needs_a_name(make_model, name):
    with pytest.raises(InvalidInputError, match="model_id"):
        make_model(name)
