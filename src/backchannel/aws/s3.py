"""S3: tools that read, write and list objects below a prefix."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any, Unpack

from ..errors import AWSError, ToolArgumentsError, ToolDefinitionError
from ..tasks import AsyncTool, progress
from .access import Access, explained
from .definition import ToolOptions, define, prefixed
from .run import Run

__all__ = ["s3_get_tool", "s3_list_tool", "s3_put_tool"]

_CHUNK = 1 << 20


def s3_get_tool(
    bucket: str, prefix: str = "", *, max_bytes: int = 10_000_000, **options: Unpack[ToolOptions]
) -> AsyncTool:
    """Return a tool that reads an object: JSON as its value, other text as str, anything else as bytes.

    Args:
        bucket: Name of the bucket.
        prefix: What all keys must begin with.
        max_bytes: Largest object that is read.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = prefixed("read", bucket)
    most = _positive(name, "max_bytes", max_bytes)

    def make(access: Access) -> Callable[[dict[str, Any]], Any]:
        def read(arguments: dict[str, Any]) -> Any:
            key = _checked(name, prefix, arguments["key"])
            run = Run()
            about = f"object s3://{bucket}/{key}"
            found = access.call("s3", "get_object", about, Bucket=bucket, Key=key)
            size = found.get("ContentLength")
            data = bytearray()
            with closing(found["Body"]) as body, explained("s3", "get_object", about):
                _check_size(about, size or 0, most)
                for chunk in body.iter_chunks(_CHUNK):
                    run.check()
                    data += chunk
                    _check_size(about, len(data), most)
                    progress(len(data), size, "bytes read")
            return _value(bytes(data), key, str(found.get("ContentType", "")))

        return read

    return define(
        "s3",
        make,
        name=name,
        description=f"Reads an object of the S3 bucket {bucket}{_below(prefix)}.",
        input_schema=_schema({"key": _key(prefix)}, ["key"]),
        options=options,
    )


def s3_put_tool(bucket: str, prefix: str = "", *, overwrite: bool = False, **options: Unpack[ToolOptions]) -> AsyncTool:
    """Return a tool that writes a text as an object.

    Args:
        bucket: Name of the bucket.
        prefix: What all keys must begin with.
        overwrite: Whether an object that is there may be replaced.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = prefixed("write", bucket)

    def make(access: Access) -> Callable[[dict[str, Any]], Any]:
        def write(arguments: dict[str, Any]) -> dict[str, Any]:
            key = _checked(name, prefix, arguments["key"])
            data = arguments["text"].encode("utf-8", "replace")
            about = f"object s3://{bucket}/{key}"
            kind = arguments.get("content_type") or "text/plain; charset=utf-8"
            condition: dict[str, Any] = {} if overwrite else {"IfNoneMatch": "*"}
            try:
                access.call("s3", "put_object", about, Bucket=bucket, Key=key, Body=data, ContentType=kind, **condition)
            except AWSError as error:
                if error.code in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise AWSError(f"There is already an {about}. Use another key.", code=error.code) from error
                raise
            return {"written": f"s3://{bucket}/{key}", "bytes": len(data)}

        return write

    properties = {
        "key": _key(prefix),
        "text": {"type": "string", "description": "What to write."},
        "content_type": {"type": "string", "description": "MIME type, such as text/csv.", "maxLength": 200},
    }
    what = "Writes a text as an object" if overwrite else "Writes a text as a new object"
    return define(
        "s3",
        make,
        name=name,
        description=f"{what} of the S3 bucket {bucket}{_below(prefix)}.",
        input_schema=_schema(properties, ["key", "text"]),
        options=options,
    )


def s3_list_tool(
    bucket: str, prefix: str = "", *, max_objects: int = 1000, **options: Unpack[ToolOptions]
) -> AsyncTool:
    """Return a tool that lists objects in the order of their keys.

    Its value has ``objects`` (key, bytes, modified), their ``count``, and ``more``: whether there are others.

    Args:
        bucket: Name of the bucket.
        prefix: What all keys must begin with.
        max_objects: Most objects of one call.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = prefixed("list", bucket)
    most = _positive(name, "max_objects", max_objects)

    def make(access: Access) -> Callable[[dict[str, Any]], Any]:
        def listing(arguments: dict[str, Any]) -> dict[str, Any]:
            start = arguments.get("begins_with") or prefix
            run = Run()
            below = _checked(name, prefix, start) if start else ""
            objects: list[dict[str, Any]] = []
            request: dict[str, Any] = {"Bucket": bucket, "Prefix": below}
            while True:
                page = access.call(
                    "s3", "list_objects_v2", f"bucket {bucket}", **request, MaxKeys=min(1000, most - len(objects))
                )
                for item in page.get("Contents", ()):
                    modified = item["LastModified"].isoformat()
                    objects.append({"key": item["Key"], "bytes": item["Size"], "modified": modified})
                progress(len(objects), message="objects listed")
                more = bool(page.get("IsTruncated"))
                if not more or len(objects) >= most:
                    return {"objects": objects, "count": len(objects), "more": more}
                request["ContinuationToken"] = page["NextContinuationToken"]
                run.check()

        return listing

    said = f"How the keys begin{f', at least {prefix!r}' if prefix else ''}."
    return define(
        "s3",
        make,
        name=name,
        description=f"Lists the objects of the S3 bucket {bucket}{_below(prefix)}.",
        input_schema=_schema({"begins_with": {"type": "string", "description": said}}, []),
        options=options,
    )


def _schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _key(prefix: str) -> dict[str, Any]:
    said = f"The object's key; it begins with {prefix!r}." if prefix else "The object's key."
    return {"type": "string", "description": said, "minLength": 1, "maxLength": 1024}


def _below(prefix: str) -> str:
    return f", below {prefix}" if prefix else ""


def _checked(tool: str, prefix: str, key: str) -> str:
    """Return a key that is below the prefix for whoever reads it, also where dots mean folders."""
    if not key.startswith(prefix):
        raise ToolArgumentsError(f"The arguments do not fit the tool {tool!r}. A key must begin with {prefix!r}.")
    if {".", ".."} & set(key.split("/")):
        raise ToolArgumentsError(
            f"The arguments do not fit the tool {tool!r}. A key must not contain . or .. as a part."
        )
    return key


def _check_size(about: str, size: int, most: int) -> None:
    if size > most:
        raise AWSError(
            f"The {about} has {size:,} bytes or more, and this tool reads up to {most:,}. Read a smaller one, or make "
            "the tool with a larger max_bytes.",
            code="ObjectTooLarge",
        )


def _value(data: bytes, key: str, kind: str) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    if key.endswith(".json") or kind.startswith("application/json"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _positive(tool: str, name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ToolDefinitionError(f"tool {tool!r}: {name}={value!r} must be 1 or more")
    return value
