"""What is left out of values and texts, and that it takes no time to speak of."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import random
import re
import string
import time
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.observability import redact
from backchannel.observability.redaction import MAX_DEPTH, MAX_VALUES
from backchannel.observability.secret_text import name_kind, redact_text

SECRET_NAMES = [
    "password", "Passwd", "db_password", "userPassword", "passphrase", "pwd", "secret", "clientSecret", "SECRET_KEY",
    "token", "access_token", "refreshToken", "X-Auth-Token", "aws_session_token", "api_key", "apiKey", "API-KEY",
    "x-api-key", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "credentials", "private_key",
    "aws_secret_access_key", "AccessKeyId", "session_id", "X-Amz-Signature", "jwt", "bearer",
]  # fmt: skip
HARMLESS_NAMES = [
    "user", "name", "text", "task_id", "monkey", "keyboard", "author", "compass", "tokenizer", "token_type",
    "gen_ai.token.type", "keys", "signature", "model", "sample_rate", "passed", "bypass",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets_are_recognized(name: str):
    assert redact({name: "hunter2!"}) == {name: "[redacted]"}
    assert redact([(name, "hunter2!")]) == [[name, "[redacted]"]]
    for text in (f"{name}=hunter2!", f"{name}: hunter2!", f'{{"{name}": "hunter2!"}}', f"{{'{name}': 'hunter2!'}}"):
        assert "hunter2" not in redact_text(text), text


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_harmless_names_keep_their_values(name: str):
    assert redact({name: "plain"}) == {name: "plain"}
    assert redact_text(f"{name}=plain") == f"{name}=plain"


def test_counts_of_tokens_are_shown_and_lists_of_them_are_not():
    assert redact({"max_tokens": 5, "inputTokens": 7}) == {"max_tokens": 5, "inputTokens": 7}
    assert redact({"tokens": ["abc"]}) == {"tokens": "[redacted]"}
    assert redact_text("max_tokens=5 tokens: 12") == "max_tokens=5 tokens: 12"
    assert redact_text("tokens=abc") == "tokens=[redacted]"


def test_what_is_no_secret_under_a_secret_name_is_shown():
    plain = {"password": None, "token": "", "has_cookie": True}
    assert redact(plain) == plain
    assert redact({"pin_secret": 1234}) == {"pin_secret": "[redacted]"}


KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN"
SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "sk-proj-0123456789abcdefABCDEF",
    "sk-ant-api03-0123456789_abcdef-ABCDEF",
    "ghp_0123456789abcdefABCDEF0123456789abcd",
    "xoxb-0123456789-abcdef",
    "AIza0123456789abcdefABCDEF0123456789abc",
    "hf_0123456789abcdefABCDEF",
    JWT,
    KEY,
]
AROUND: list[Callable[[str], str]] = [
    lambda secret: secret,
    lambda secret: f"the call with {secret} failed",
    lambda secret: f'{{"value": "{secret}"}}',
    lambda secret: f"f({secret!r})",
    lambda secret: f"x={secret};y=2",
    lambda secret: f"({secret})\n{secret}",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
@pytest.mark.parametrize("around", AROUND)
def test_secrets_are_known_by_their_looks(secret: str, around: Callable[[str], str]):
    shown = redact_text(around(secret))
    assert "[redacted]" in shown
    for line in secret.splitlines():
        assert line not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 user=bob", "password=[redacted] user=bob"),
        ("password: correct horse battery, user: bob", "password: [redacted], user: bob"),
        ("Authorization: Bearer abc.def\nHost: x", "Authorization: [redacted]\nHost: x"),
        ("sent Bearer abcdef123456 to it", "sent Bearer [redacted] to it"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: [redacted]\nHost: x"),
        ("{'password': 'it\\'s x', 'a': 1}", "{'password': '[redacted]', 'a': 1}"),
        ('"{\\"api_key\\": \\"abc\\", \\"b\\": 2}"', '"{\\"api_key\\": \\"[redacted]\\", \\"b\\": 2}"'),
        ("Config(password=SecretStr('a b'), n=1)", "Config(password=[redacted], n=1)"),
        ("'credentials': {'user': 'a', 'k': ['x', ')']}, 'z': 1", "'credentials': [redacted], 'z': 1"),
        ("[('Authorization', 'Basic eDp5'), ('Host', 'x')]", "[('Authorization', '[redacted]'), ('Host', 'x')]"),
        ("run --password hunter2 --user bob", "run --password [redacted] --user bob"),
        ("secret key: abc", "secret key: [redacted]"),
        ("postgres://bob:p@ss@host/db", "postgres://[redacted]@host/db"),
        ("postgres://bob:p/ss@host/db", "postgres://[redacted]@host/db"),
        ("https://host:8080/@user", "https://host:8080/@user"),
        ("https://medium.com/@user", "https://medium.com/@user"),
        ("https://h/x?X-Amz-Signature=ab%2F&a=b", "https://h/x?X-Amz-Signature=[redacted]&a=b"),
        ("https://h/x?a=b&sig=ab%2F&key=c", "https://h/x?a=b&sig=[redacted]&key=[redacted]"),
        ('{"url":"x?token=abc","b":1}', '{"url":"x?token=[redacted]","b":1}'),
        ("password='never closed", "password='[redacted]'"),
        (
            "task-0123456789abcdef0123 of disk-0123456789abcdefgh",
            "task-0123456789abcdef0123 of disk-0123456789abcdefgh",
        ),
        ("commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"),
        ("def f(x): ...  # the signature: (x) -> y", "def f(x): ...  # the signature: (x) -> y"),
        ("-" * 300, "-" * 300),
        ("", ""),
    ],
)
def test_texts_keep_what_is_no_secret(text: str, shown: str):
    assert redact_text(text) == shown


def test_audio_is_shortened():
    assert redact_text(f"chunk {base64.b64encode(bytes(640)).decode()}") == "chunk [856 characters of base64]"
    assert redact_text(f"got {bytes(range(256))!r}") == "got [bytes]"
    assert redact({"audio": bytes(640), "view": memoryview(bytearray(6))}) == {
        "audio": "[640 bytes]",
        "view": "[6 bytes]",
    }


@dataclasses.dataclass
class Settings:
    host: str
    password: str
    inner: Any = None


Pair = namedtuple("Pair", ["host", "token"])


class Colour(enum.Enum):
    RED = "red"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileMapping(OrderedDict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("no items")


def test_structures_of_all_kinds_become_plain():
    assert redact(Settings("h", "x", Pair("i", "y"))) == {
        "host": "h",
        "password": "[redacted]",
        "inner": {"host": "i", "token": "[redacted]"},
    }
    assert redact({"error": ValueError({"password": "a b"})}) == {"error": "ValueError: {'password': '[redacted]'}"}
    assert redact([{1}, (2.5, None), True, Colour.RED]) == [[1], [2.5, None], True, "Colour.RED"]
    assert redact({b"Authorization": b"Basic eDp5", 3: "x"}) == {"Authorization": "[redacted]", "3": "x"}


def test_what_cannot_be_looked_at_is_named_and_nothing_is_raised():
    assert redact(Hostile()) == "[Hostile]"
    assert redact({"a": Hostile(), "b": 1}) == {"a": "[Hostile]", "b": 1}
    assert redact(HostileMapping(a="b")) == "[HostileMapping]"
    assert redact(ValueError(Hostile())) == "[ValueError]"


def test_what_contains_itself_or_is_very_deep_or_very_large_comes_to_an_end():
    loop: list[Any] = [1]
    loop.append(loop)
    assert redact(loop) == [1, "..."]
    deep: Any = "x"
    for _ in range(10 * MAX_DEPTH):
        deep = [deep]
    assert json.dumps(redact(deep)).count("[") == MAX_DEPTH
    wide: Any = "x"
    for _ in range(20):
        wide = [wide, wide]
    assert json.dumps(redact(wide)).count("x") < MAX_VALUES


def test_the_value_itself_is_not_changed():
    value = {"password": "x", "list": [{"token": "y"}]}
    redact(value)
    assert value == {"password": "x", "list": [{"token": "y"}]}


UNITS = [
    *("a", "é", " ", "\\", "'", "=", "eyJ", "eyJ.", "eyJhbGciOi", "A1b/", "a-", "a.", "a=", "sk-", "AKIA", "ghp_"),
    *(
        "password=",
        "password='",
        'password="\\"',
        '\\"password\\":\\"',
        "password: ",
        "--token ",
        "token=(",
        "token\\\\'",
    ),
    *("://", "://a:b", "://a@", "?sig=", "bearer ", "api key ", "b'", "[{", "<'"),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END "),
]


@pytest.mark.parametrize("unit", UNITS)
def test_the_time_is_linear_in_the_text(unit: str):
    """Of the processor: ten times the text takes ten times as long, where squared it would be a hundred."""

    def cost(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        began = time.process_time()
        redact_text(text)
        return time.process_time() - began

    assert cost(1_000_000) < 40 * cost(100_000) + 0.5


secrets = st.text(string.ascii_letters + string.digits + "!#$%*+./?@^_~", min_size=12, max_size=30).map(
    lambda s: f"Zq9{s}"
)
harmless = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from(["a", "user", "items", "3"])
    return st.one_of(
        st.tuples(harmless, inner).map(list),
        st.tuples(inner, harmless),
        st.builds(lambda key, value, other: {key: value, "other": other}, keys, inner, harmless),
        st.builds(lambda value: Settings("h", "p", value), inner),
        st.builds(lambda value: ValueError("it failed", value), inner),
        st.builds(lambda value: f"got {value!r} then", inner),
        st.builds(lambda value: json.dumps({"a": str(value)}), inner),
    )


@st.composite
def structures(draw: st.DrawFn) -> tuple[str, Any]:
    """A secret, and a structure that holds it somewhere."""
    if draw(st.booleans()):
        secret = draw(secrets)
        name = draw(st.sampled_from(SECRET_NAMES))
        leaf: Any = draw(
            st.sampled_from(
                [
                    {name: secret},
                    {name: [secret]},
                    (name, secret),
                    {name.encode(): secret.encode()},
                    {name: {"a": secret}},
                ]
            )
        )
    else:
        secret = draw(st.sampled_from(SECRETS[:-1]))
        leaf = draw(st.sampled_from([secret, {secret: 1}, {"a": secret}, [secret], f"it was {secret} ."]))
    for _ in range(draw(st.integers(0, 4))):
        leaf = draw(wrapped(st.just(leaf)))
    return secret, leaf


@settings(max_examples=500, deadline=None)
@given(structures())
def test_a_secret_never_comes_out_wherever_it_is(case: tuple[str, Any]):
    secret, value = case
    assert secret not in str(redact(value))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="pasword=:'\"\\ {}[]()<>,;&?/@-.\nkeytoknAB1eyJ", max_size=60))
def test_redacting_again_changes_nothing_and_nothing_raises(text: str):
    once = redact_text(text)
    assert redact_text(once) == once


@settings(deadline=None)
@given(st.recursive(harmless | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_anything_plain_is_redacted_to_json(value: Any):
    json.dumps(redact(value))


@given(st.text())
def test_every_name_is_of_one_kind(name: str):
    assert name_kind(name) in ("secret", "count", "")
    assert re.fullmatch(r"(?s).*", redact_text(name))


SEQUENCES = st.one_of(
    st.text("ACGT", min_size=200, max_size=2000),
    st.text("acgtun", min_size=200, max_size=2000),
    st.text("0123456789abcdef", min_size=8, max_size=2000),
    st.text("ACDEFGHIKLMNPQRSTVWY", min_size=100, max_size=500),
    st.lists(st.from_regex(r"[a-z]{1,8}[0-9]{0,4}", fullmatch=True), min_size=1, max_size=80).map(
        lambda parts: "/data/" + "/".join(parts)
    ),
)


@given(SEQUENCES)
def test_sequences_digits_and_paths_are_no_secrets(text: str):
    assert redact_text(text) == text
    assert redact({"value": text}) == {"value": text}


@pytest.mark.parametrize(
    "value",
    [
        "pass: 12 of 13 tests",
        "pass: 12/13",
        "token: 512 of 8192",
        {"secret_santa": "Ann"},
        {"secretary": "Ann", "pass_rate": 0.9, "passes": 3, "pass_count": 7},
        {"pass": "12 of 13 tests"},
        '{"pass": "12 of 13 tests"}',
    ],
)
def test_what_only_sounds_like_a_secret_stays(value: Any):
    assert redact(value) == value


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0c2VjcmV0==;EndpointSuffix=x", "c2VjcmV0"),
        ("SharedAccessSignature=sv=2020&sig=abcdef", "abcdef"),
        ("password: a,b", ",b"),
        ("password: hunter,2,three", "three"),
        ("password=a,b", ",b"),
        ("pwd=a,b;user=x", ",b"),
        ("key " + "A" * 43 + "b" * 43 + "==", "A" * 43),
        ("db_pass=hunter2", "hunter2"),
        ("token: 4/0AX4XfWhQ", "4/0AX4"),
        ('{"token": "4/0AX4XfWhQ"}', "4/0AX4"),
        ("password: 12 of 13-hunter2", "hunter2"),
        ("client_secret: hunter2", "hunter2"),
        ('{"secretKey": "hunter2"}', "hunter2"),
        ("secret=hunter2", "hunter2"),
    ],
)
def test_known_shapes_do_not_come_out(text: str, secret: str):
    assert secret not in redact_text(text)
    assert "[redacted]" in redact_text(text)


def test_the_field_after_a_password_with_a_comma_stays():
    assert redact_text("password: a,b, user: bob") == "password: [redacted], user: bob"


def test_a_secret_that_begins_like_a_share_does_not_come_out():
    for name in ("password", "api_key", "client_secret", "db_password"):
        for value in ("12 of 13 tests", "12/13", "1/2"):
            assert redact({name: value}) == {name: "[redacted]"}
            assert value not in redact_text(f"{name}: {value}")
    for value in ("4/0AX4XfWhabc", "1//0gabcdef", "9/8AbCdEf", "5/9=", "12/34abcdef"):
        assert redact({"token": value}) == {"token": "[redacted]"}
        for text in (f"token: {value}", f"token={value}", f'{{"token": "{value}"}}'):
            assert value not in redact_text(text), text


@pytest.mark.parametrize(
    "text",
    [
        "pass: 12 of 13 tests passed, 1 failed",
        "first pass: 12 out of 13.",
        "Pass: 12, fail: 1",
        "pass: 12 fail: 1",
        "pass: 98%",
        '{"pass": "98 %", "fail": "2 %"}',
        "token: 1,024 of 8,192",
        "token: 512/8192",
    ],
)
def test_counts_of_tests_and_tokens_stay(text: str):
    assert redact_text(text) == text


def test_a_small_number_named_pass_stays_and_a_long_one_does_not():
    assert redact({"pass": 12, "fail": 1}) == {"pass": 12, "fail": 1}
    assert redact({"pass": 12345678, "password": 12}) == {"pass": "[redacted]", "password": "[redacted]"}


@given(st.text("ACGTacgtNn-", min_size=200, max_size=2000), st.integers(1, 40))
def test_genomes_stay_however_long_and_masked(bases: str, times: int):
    text = f"ACGT{bases * times}"
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "0x" + "0f9a" * 100,
        "/".join(["0f9a8b7c6d5e4f3a"] * 20),
        "-".join(f"word{number}" for number in range(60)),
        "/Users/JohnDoe/Library/CompanyName2/Cache/Data1",
        f"sha512-{'aB3' * 28}aB==",
    ],
)
def test_long_names_and_digests_stay(text: str):
    assert redact_text(text) == text


def test_an_aws_secret_is_never_taken_for_a_path():
    chosen = random.Random(1)
    for _ in range(2000):
        key = "".join(chosen.choices(string.ascii_letters + string.digits + "/+", k=36)) + "a/B1"
        for text in (key, f"w/{key[2:]}", f"/{key[1:]}", f"key {key[:10]}/{key[11:]} end"):
            assert redact_text(text).count("[redacted]") == 1, text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password: a'b", "'b"),
        ("password: p@(x)y", "x"),
        ("password: a&b<c", "<c"),
        ("password: a;b", ";b"),
        ("password: a)b", ")b"),
        ("password=it's", "'s"),
        ("dbpass=hunter2", "hunter2"),
        ("userpass: hunter2", "hunter2"),
        ("secret_pin=77aa", "77aa"),
        ("xapp-1-A0123456789-1234567890123-abcdef0123456789", "abcdef"),
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "XXXX"),
        (f"SG.{'aB1-_' * 4}aB.{'cD2_-' * 8}cDe", "cD2"),
    ],
)
def test_further_shapes_do_not_come_out(text: str, secret: str):
    assert secret not in redact_text(text)
    assert "[redacted]" in redact_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'password: abc', 'user: bob'", "'password: [redacted]', 'user: bob'"),
        ('{"text": "password: abc"}', '{"text": "password: [redacted]"}'),
        ("(password: abc) next", "(password: [redacted]) next"),
        ("password: a;user: b", "password: [redacted];user: b"),
        ("x?password=abc&user=bob", "x?password=[redacted]&user=bob"),
        ("encompass: all, bypass: on", "encompass: all, bypass: on"),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, shown: str):
    assert redact_text(text) == shown
