"""Secrets in text: what names, keys, tokens and URLs look like, and the text without them.

Every pattern is tried once per run of characters (look-behind, possessive quantifiers) and what was read as a value is
not read again, so that the time is linear in the text.
"""

from __future__ import annotations

import functools
import re

__all__ = ["REDACTED", "is_count", "name_kind", "redact_text"]

REDACTED = "[redacted]"
"""What stands where a secret was."""

_LONGEST_SEQUENCE = 20_000
_SEQUENCE = re.compile(r"[A-Z-]+|[a-z-]+|(?:0x)?(?:[0-9a-f]+|[0-9A-F]+)|[-_+/]+")
"""DNA and proteins, hexadecimal digits, rules: no base64, which mixes cases or is padded."""
_BASES = re.compile(r"[ACGTUNacgtun-]+")
_SEPARATORS = re.compile(r"[-_+/]+")
_NAME = re.compile(r"(?:[A-Z]?[a-z]{2,}+[0-9]*+)*+(?:[A-Z]?[a-z]?[0-9]*|[0-9a-f]+|[0-9A-F]+)")
"""``data``, ``Run12``, ``ProjectAlpha``, a digest: what parts of paths are, and of keys almost never."""

LONG = 200
"""Characters from which a run of base64, or a literal of bytes, counts as audio or an image."""

# Names

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    ("amz", "apikeys", "auth", "bearer", "creds", "jwt", "otp", "passcode", "pwd", "token", "tokens")
)
_SECRET_PARTS = (
    *("password", "passwd", "passphrase", "token", "apikey", "accesskey", "accountkey", "privatekey", "authorization"),
    *("cookie", "credential", "sessionkey", "sessionid", "encryptionkey", "signingkey", "connectionstring"),
    "accesssignature",
)
# A secret_key is one, and secret_santa is not; likewise db_pass and pass_rate.
_SECRET = re.compile(
    r"secrets?(?:$|[0-9]|key|access|token|value|text|string|code|phrase|word|data|bytes|hash|answer|id$|name$|version"
    r"|pin$|pw$|hex$|b(?:ase)?64|seed|salt|json|url|uri|param|config|env$|credential)"
)
_PASS = re.compile(
    r"(?:(?:^|[^A-Za-z])[Pp][Aa][Ss][Ss]|[a-z]Pass|(?:db|sql|user|admin|root|login|smtp|ftp|ssh|key|store)pass)$"
)
_HARMLESS = re.compile(r"tokeni[sz]e\w*|tokentype")
_COUNT = re.compile(r"tokens$|tokens?(?:count|limit|usage|budget|details)")
_IN_QUERIES = frozenset({"sig", "signature", "key", "policy", "code", "keypairid", "googleaccessid", "awsaccesskeyid"})
_BEFORE_KEY = re.compile(r"(?:api|secret|access|private|signing|encryption) \Z", re.I)
_WHOLE_LINES = ("authorization", "cookie")


def name_kind(name: str) -> str:
    """Return what the value of a field, header or variable of this name is, as far as the name tells.

    "secret", "count" (a secret unless it is a number: ``max_tokens``), or "".
    """
    return _kind(name[:256])


@functools.lru_cache(maxsize=2048)
def _kind(name: str) -> str:
    joined = _HARMLESS.sub("", "".join(character for character in name.lower() if character.isalnum()))
    words = {word.lower() for word in _WORD.findall(name)}
    if "token" not in joined:
        words.discard("token")
    by_part = any(part in joined for part in _SECRET_PARTS) or _SECRET.search(joined) is not None
    if not (_SECRET_WORDS & words or by_part or _PASS.search(name)):
        return ""
    return "count" if _COUNT.search(joined) else "secret"


# Texts


def is_count(name: str, value: object) -> bool:
    """Whether the value of ``pass`` or ``token`` counts something: "12 of 13 tests", "98 %". No password is read so."""
    if isinstance(value, int):
        return _last_word(name) == "pass" and 0 <= value < 1000
    return isinstance(value, str) and _counts(name, value, 0)


def _counts(name: str, text: str, start: int) -> bool:
    word = _last_word(name)
    if word not in ("pass", "token", "tokens"):
        return False
    return _SHARE.match(text, start) is not None or (word == "pass" and _SMALL.match(text, start) is not None)


def _last_word(name: str) -> str:
    words = _WORD.findall(name[-60:])
    return words[-1].lower() if words else ""


_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----.*?(?:-----END [^-]{0,60}-----|\Z)", re.S
)
_URL = re.compile(r"(?<=://)[^\s\"'<>]++")
_DOTTED = re.compile(r"(?<![\w.-])[\w-]++(?:\.[\w-]*+){2,}+")
_JWT_START = re.compile(r"eyJ[\w-]{4}")
_KNOWN = re.compile(
    r"(?<![A-Z0-9])(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA|AGPA|ANPA|ANVA|APKA|AIPA)[A-Z0-9]{16}(?![A-Z0-9])"
    r"|(?<![A-Za-z0-9])(?:sk-|[srp]k_(?:live|test)_)[A-Za-z0-9_-]{16,}+"
    r"|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|glpat-[A-Za-z0-9_-]{16,255}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,255}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{16,1024}|hf_[A-Za-z0-9]{20,255}"
    r"|npm_[A-Za-z0-9]{30,255}|pypi-[A-Za-z0-9_-]{40,1024}"
    r"|xapp-[0-9]-[A-Za-z0-9-]{10,255}|(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,255}"
    r"|(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,255}"
    r"|(?<![A-Za-z0-9+/])(?<!sha512-)[A-Za-z0-9+/]{86}==(?!=)"
)
_BEARER = re.compile(r"(?<![a-z])(bearer\s{1,4}+)[a-z0-9._~+/=-]{6,}+", re.I)
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_BASE64 = re.compile(rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{LONG},}}+={{0,2}}")
_BYTES = re.compile(r"(?<!\w)b(?:'(?:[^'\\]|\\.)*+(?:'|\\?\Z)|\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z))", re.S)


def redact_text(text: str) -> str:
    """Return ``text`` without keys, tokens, passwords and long base64. The time is linear in its length."""
    if "-----BEGIN " in text:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    if "://" in text:
        text = _URL.sub(_without_userinfo, text)
    if "eyJ" in text:
        text = _DOTTED.sub(_without_jwt, text)
    text = _KNOWN.sub(REDACTED, text)
    text = _BEARER.sub(rf"\1{REDACTED}", text)
    text = _without_fields(text)
    if len(text) >= 40:
        text = _AWS_SECRET.sub(_without_aws_secret, text)
    if len(text) >= LONG:
        text = _BASE64.sub(_shortened, text)
        text = _BYTES.sub(lambda match: match[0] if len(match[0]) < LONG else "[bytes]", text)
    return text


def _without_userinfo(match: re.Match[str]) -> str:
    rest = match[0]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    at = authority.rfind("@")
    if at < 0:
        # A password may hold a slash: then what follows the colon is no port.
        _, colon, port = authority.partition(":")
        if not colon or port.isdigit() or authority.startswith("["):
            return rest
        at = rest.rfind("@")
    return f"{REDACTED}{rest[at:]}" if at >= 0 else rest


def _without_jwt(match: re.Match[str]) -> str:
    chain = match[0]
    start = _JWT_START.search(chain)
    if start is None or chain.count(".", start.start()) < 2:
        return chain
    return chain[: start.start()] + REDACTED


def _without_aws_secret(match: re.Match[str]) -> str:
    run = match[0]
    mixed = any(map(str.islower, run)) and any(map(str.isupper, run)) and any(map(str.isdigit, run))
    return REDACTED if mixed and not _is_names(run) else run


def _shortened(match: re.Match[str]) -> str:
    run = match[0]
    if len(run) <= _LONGEST_SEQUENCE and _SEQUENCE.fullmatch(run):
        return run
    # Silence is A's only; a genome is not.
    if (_BASES.fullmatch(run) and len(set(run[:1000].upper()) - {"-", "N"}) > 1) or _is_names(run):
        return run
    return f"[{len(run)} characters of base64]"


def _is_names(run: str) -> bool:
    """Whether a run of letters, digits and separators is made of names, as a path is and a key is not."""
    parts = [part for part in _SEPARATORS.split(run) if part]
    return len(parts) > 1 and all(_NAME.fullmatch(part) for part in parts)


# Fields in texts

_FIELD = re.compile(
    r"(?<![\w-])(?P<name>[\w-]++)"
    r"(?P<sign>\\{0,8}[\"']\s{0,8}+(?:[:=]>?|,)|\s{0,8}+(?::=|=>|[:=])|(?P<blank>[ \t]{1,8}+))\s{0,8}+"
)
_QUOTE = re.compile(r"(\\{0,8})([\"'])")
_PREFIX = re.compile(r"[bBrRuUfF]{1,2}(?=\\{0,8}[\"'])|[\w.]{1,60}(?=[(\[{<])")
_NEXT = r"(?!\s{0,8}[\w-]{1,60}+\s{0,8}[:=])"
_PLAIN = re.compile(rf"[^\s,;&\"'<>()\[\]{{}}\\]++|,(?=[^\s\"'<>()\[\]{{}}]){_NEXT}|'(?=\w)|\\++(?![\"'])")
_PHRASE = re.compile(
    rf"(?:[^\r\n,;&\"'<>()\[\]{{}}\\]++|[,;&](?=[^\s\"'<>()\[\]{{}}]){_NEXT}|['<>()\[\]{{}}](?=\w)|\\++(?![\"']))*+"
)
_LINE = re.compile(r"[^\r\n]*+")
_AMOUNT = r"[0-9](?:[0-9_.,]{0,14}[0-9])?+"
_SHARE = re.compile(rf"(?:\\{{0,8}}[\"'])?{_AMOUNT}\s{{0,4}}+(?:of|/|out of)\s{{0,4}}+{_AMOUNT}(?!\.?[\w/+=-])", re.I)
_SMALL = re.compile(
    r"(?:\\{0,8}[\"'])?[0-9]{1,3}+(?:\s?%)?+\s{0,4}+(?:\Z|[;,](?:\s|\Z)|[|)\]}\r\n]|\\{0,8}[\"']|\w{1,20}:)"
)
_NUMBER = re.compile(r"[-+]?[0-9][0-9_.]*+(?![\w-])")
_NOTHING = re.compile(r"(\\{0,8}[\"'])(?:\[redacted\])?\1|None|null|True|False|true|false|\[redacted\]")
_BRACKET = re.compile(r"[()\[\]{}<>]|\\{0,8}[\"']")
_SINGLE = re.compile(r"(?:[^'\\]|\\.)*+(?:'|\\?\Z)", re.S)
_DOUBLE = re.compile(r"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z)", re.S)


def _without_fields(text: str) -> str:
    """Replace values of fields with secret names: ``name=value``, ``"name": value``, headers, ``--name value``."""
    parts: list[str] = []
    done = position = 0
    while (field := _FIELD.search(text, position)) is not None:
        position = field.end("name")
        kind = _field_kind(text, field)
        value = field.end()
        if not kind or (kind == "count" and (field["blank"] or _NUMBER.match(text, value))):
            continue
        if _counts(field["name"], text, value):
            continue
        end = _value_end(text, value, field["name"].lower(), ":" in field["sign"])
        if end > value and not _NOTHING.fullmatch(text, value, end):
            quote = _QUOTE.match(text, value)
            parts += [text[done:value], REDACTED if quote is None else f"{quote[0]}{REDACTED}{quote[0]}"]
            done = end
        position = max(end, position)
    return "".join([*parts, text[done:]])


def _field_kind(text: str, field: re.Match[str]) -> str:
    name, start = field["name"], field.start()
    if field["blank"] and not name.startswith("--"):
        return ""
    kind = name_kind(name)
    if not kind and len(name) <= 20:
        lower = name.lower().replace("-", "").replace("_", "")
        in_query = start > 0 and text[start - 1] in "?&;" and lower in _IN_QUERIES
        if in_query or (lower == "key" and _BEFORE_KEY.search(text, max(0, start - 12), start)):
            return "secret"
    return kind


def _value_end(text: str, start: int, name: str, colon: bool) -> int:
    """Return where the value that begins at ``start`` ends: quoted, bracketed or plain."""
    prefix = _PREFIX.match(text, start)
    position = start if prefix is None else prefix.end()
    quote = _QUOTE.match(text, position)
    if quote is not None:
        return _quoted_end(text, quote)
    bracketed = text[position : position + 1] in ("(", "[", "{", "<")
    if not bracketed and any(part in name for part in _WHOLE_LINES):
        return _end(_LINE, text, start)
    if colon and not bracketed:
        return _end(_PHRASE, text, start)
    while position < len(text):
        if text[position] in "([{<":
            position = _bracket_end(text, position)
        elif (plain := _PLAIN.match(text, position)) is not None:
            position = plain.end()
        else:
            break
    return position


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _quoted_end(text: str, quote: re.Match[str]) -> int:
    """Return where the quoted text ends that ``quote`` opens; the end of the text where nothing closes it."""
    if not quote[1]:
        return _end(_SINGLE if quote[2] == "'" else _DOUBLE, text, quote.end())
    close = text.find(quote[0], quote.end())
    while close > 0 and text[close - 1] == "\\":  # a quote of a deeper level
        close = text.find(quote[0], close + 1)
    return len(text) if close < 0 else close + len(quote[0])


def _bracket_end(text: str, position: int) -> int:
    """Return where the bracket that opens at ``position`` is closed; the end of the text where it is not."""
    depth = 0
    while (found := _BRACKET.search(text, position)) is not None:
        position = found.end()
        if found[0] in "([{<":
            depth += 1
        elif found[0] in ")]}>":
            depth -= 1
            if depth == 0:
                return position
        elif (quote := _QUOTE.match(text, found.start())) is not None:
            position = _quoted_end(text, quote)
    return len(text)
