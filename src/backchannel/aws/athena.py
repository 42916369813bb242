"""Athena: a tool that runs a query that a model wrote, shows its state, and stops it on cancel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from ..errors import AWSError, ToolArgumentsError, ToolDefinitionError
from ..tasks import AsyncTool, progress
from ..tools.text import cut
from .access import Access
from .definition import ToolOptions, check_poll, define, prefixed
from .run import Following, Remote, Run

__all__ = ["athena_query_tool", "is_read_only"]

_COMMENTS = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*", re.DOTALL)
_READING = re.compile(r"(?:SELECT|WITH|VALUES|SHOW|DESCRIBE|DESC)\b", re.IGNORECASE)
_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "int", "bigint"), int),
    **dict.fromkeys(("float", "real", "double"), float),
    "boolean": lambda text: text == "true",
}


def athena_query_tool(
    database: str,
    *,
    workgroup: str = "primary",
    catalog: str = "AwsDataCatalog",
    output_location: str | None = None,
    read_only: bool = True,
    max_rows: int = 1000,
    poll_s: float = 2.0,
    **options: Unpack[ToolOptions],
) -> AsyncTool:
    """Return a tool that runs an SQL statement and returns its rows.

    Its value has ``columns``, ``rows`` (lists; numbers and booleans as such, other types as text), ``more``: whether
    there are other rows, and ``scanned_bytes``. The query is stopped when the task is cancelled or times out.

    Args:
        database: Where tables without a database are looked up.
        workgroup: Its settings and limits hold.
        output_location: ``s3://`` place of the results, where the workgroup sets none.
        read_only: Refuse statements that do not begin as those that only read do. What the credentials may do is up
            to their policy.
        max_rows: Most rows that are returned.
        poll_s: Longest time between two looks, seconds.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = prefixed("query", database)
    longest = check_poll(name, poll_s)
    if isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 1:
        raise ToolDefinitionError(f"tool {name!r}: max_rows={max_rows!r} must be 1 or more")
    place = {"ResultConfiguration": {"OutputLocation": output_location}} if output_location else {}

    def make(access: Access) -> Remote:
        def call(method: str, what: str, **parameters: Any) -> Any:
            return access.call("athena", method, what, **parameters)

        def start(arguments: dict[str, Any]) -> dict[str, Any]:
            sql = arguments["sql"]
            if read_only and not is_read_only(sql):
                raise ToolArgumentsError(
                    f"The arguments do not fit the tool {name!r}. It only reads: write a SELECT, WITH, SHOW or "
                    "DESCRIBE statement."
                )
            started = call(
                "start_query_execution",
                f"workgroup {workgroup}",
                QueryString=sql,
                ClientRequestToken=Run().id,
                QueryExecutionContext={"Database": database, "Catalog": catalog},
                WorkGroup=workgroup,
                **place,
            )
            return {"query": started["QueryExecutionId"]}

        def follow(handle: Mapping[str, Any]) -> Following:
            query_id = str(handle["query"])
            what = f"query {query_id}"

            def look() -> Any:
                found = call("get_query_execution", what, QueryExecutionId=query_id)["QueryExecution"]
                state = found["Status"]["State"]
                if state in ("QUEUED", "RUNNING"):
                    progress(message=state.lower())
                    return None
                return found

            def read(found: Mapping[str, Any]) -> dict[str, Any]:
                status = found["Status"]
                if status["State"] != "SUCCEEDED":
                    reason = cut(str(status.get("StateChangeReason") or "Athena does not say why"), 2000)
                    raise AWSError(f"The {what} {status['State'].lower()}: {reason}", code=status["State"])
                rows = _rows(call, Run(), query_id, max_rows, header=_has_header(found))
                return {**rows, "scanned_bytes": found.get("Statistics", {}).get("DataScannedInBytes", 0)}

            def stop() -> str:
                call("stop_query_execution", what, QueryExecutionId=query_id)
                return f"The {what} was stopped."

            return Following(what, look, read, longest=longest, stop=stop)

        return Remote(start, follow)

    properties = {"sql": {"type": "string", "description": "One statement, in Athena's SQL.", "minLength": 1}}
    return define(
        "athena",
        make,
        name=name,
        description=f"Runs an SQL query on the database {database} in Amazon Athena and returns its rows.",
        input_schema={"type": "object", "properties": properties, "required": ["sql"]},
        options=options,
    )


def is_read_only(sql: str) -> bool:
    """Whether a statement begins as those do that only read."""
    match = _COMMENTS.match(sql)
    return _READING.match(sql, match.end() if match else 0) is not None


def _has_header(found: Mapping[str, Any]) -> bool:
    return bool(found.get("StatementType", "DML") == "DML")


def _rows(call: Callable[..., Any], run: Run, query_id: str, most: int, *, header: bool) -> dict[str, Any]:
    columns: list[str] = []
    kinds: list[str] = []
    rows: list[list[Any]] = []
    request: dict[str, Any] = {"QueryExecutionId": query_id, "MaxResults": min(1000, most + 1 + header)}
    while True:
        page = call("get_query_results", f"query {query_id}", **request)
        found = page["ResultSet"].get("Rows", [])
        if not columns:
            about = page["ResultSet"].get("ResultSetMetadata", {}).get("ColumnInfo", [])
            columns = [str(column["Name"]) for column in about]
            kinds = [str(column.get("Type", "varchar")) for column in about]
            if header and "NextToken" not in request and found and _texts(found[0]) == columns:
                found = found[1:]
        for row in found:
            texts = _texts(row)
            rows.append(
                [_cell(text, kind) for text, kind in zip(texts, kinds or ["varchar"] * len(texts), strict=False)]
            )
        if len(rows) > most or not page.get("NextToken"):
            return {"columns": columns, "rows": rows[:most], "more": len(rows) > most}
        request["NextToken"] = page["NextToken"]
        progress(len(rows), message="rows read")
        run.check()


def _texts(row: Mapping[str, Any]) -> list[str | None]:
    return [cell.get("VarCharValue") for cell in row.get("Data", [])]


def _cell(text: str | None, kind: str) -> Any:
    read = _NUMBERS.get(kind)
    if text is None or read is None:
        return text
    try:
        return read(text)
    except ValueError:
        return text
