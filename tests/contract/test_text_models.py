"""What every text model does: the same scenarios over Bedrock's event stream, chat completions, and the script."""

from __future__ import annotations

import asyncio
import builtins
import json
import threading
from typing import Any

import pytest
from botocore.config import Config

from backchannel import tool
from backchannel.agents import Agent
from backchannel.errors import InvalidInputError, MissingExtraError, ModelError, ModelThrottledError
from backchannel.messages import validate_messages
from backchannel.models import BedrockConverseModel, OpenAIChatModel, ScriptedTextModel, TextModel
from backchannel.models.scripted_text import Answer
from tests.support.text_servers import BedrockServer, ChatServer, Reply, TextServer

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


class Provider:
    """A model, and what stands for its server."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.server: TextServer | None = None

    def model(self, *replies: Reply, **options: Any) -> Any:
        if self.kind == "scripted":
            return ScriptedTextModel(*map(_answer, replies))
        self.server = (BedrockServer if self.kind == "bedrock" else ChatServer)(list(replies))
        return make(self.kind, self.server.url, **options)

    def close(self) -> None:
        if self.server is not None:
            self.server.close()


def make(kind: str, url: str, **options: Any) -> Any:
    if kind == "bedrock":
        import boto3

        session = boto3.Session(aws_access_key_id="id", aws_secret_access_key="secret", region_name="eu-west-1")
        config = Config(retries={"total_max_attempts": 1}, read_timeout=20, proxies={})
        return BedrockConverseModel(
            "a.model-v1:0", boto_session=session, boto_client_config=config, endpoint_url=url, **options
        )
    return OpenAIChatModel("a-model", base_url=f"{url}/v1", api_key="secret", max_retries=0, **options)


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


@pytest.fixture(params=["bedrock", "openai", "scripted"])
def provider(request):
    made = Provider(request.param)
    yield made
    made.close()


@pytest.fixture(params=["bedrock", "openai"])
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
    result = {"toolUseId": "a", "status": "success", "content": [{"text": "3"}]}
    assert second["messages"][2] == {"role": "user", "content": [{"toolResult": result}]}


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


async def test_servers_that_do_not_number_calls_are_understood():
    from types import SimpleNamespace as Made

    from backchannel.models.openai_chat import _ChunkReader
    from backchannel.models.text import MessageBuilder

    def chunk(index: int | None, call_id: str | None, name: str | None, arguments: str) -> Any:
        call = Made(index=index, id=call_id, function=Made(name=name, arguments=arguments))
        return Made(usage=None, choices=[Made(delta=Made(content=None, tool_calls=[call]), finish_reason=None)])

    end = Made(usage=None, choices=[Made(delta=Made(content=None, tool_calls=None), finish_reason="stop")])
    for indices in ((None, None, None), (0, 0, 0)):
        reader, builder = _ChunkReader(), MessageBuilder()
        chunks = [
            chunk(indices[0], "a", "add", '{"one": 1}'), chunk(indices[1], "b", "add", '{"one"'),
            chunk(indices[2], None, None, ": 2}"), end,
        ]  # fmt: skip
        for item in chunks:
            for event in reader.take(item):
                builder.take(event)
        for event in reader.end():
            builder.take(event)
        uses = [block["toolUse"] for block in builder.message()["content"]]
        assert [(use["toolUseId"], use["input"]) for use in uses] == [("a", {"one": 1}), ("b", {"one": 2})]


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


def test_a_missing_package_names_its_extra(monkeypatch):
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openai":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"backchannel\[openai\]"):
        OpenAIChatModel("a-model")


@pytest.mark.parametrize("make_model", [BedrockConverseModel, OpenAIChatModel])
@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_a_model_needs_a_name(make_model, name):
    with pytest.raises(InvalidInputError, match="model_id"):
        make_model(name)
