"""Jobs: tools that run a Batch or a Glue job, show its state, and end it on cancel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from ..errors import AWSError
from ..tasks import AsyncTool, progress
from ..tools.text import cut
from .access import Access
from .definition import ToolOptions, check_poll, define, tool_name
from .run import FAULTS, Following, Remote, Run

__all__ = ["batch_job_tool", "glue_job_tool"]

_REASON = "The task was to end."
_GLUE_ENDS = {"SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT", "ERROR", "EXPIRED"}


def batch_job_tool(
    job_definition: str,
    job_queue: str,
    *,
    parameters: Iterable[str] = (),
    poll_s: float = 15.0,
    **options: Unpack[ToolOptions],
) -> AsyncTool:
    """Return a tool that runs a Batch job and returns how it ended. It is terminated when the task is cancelled.

    Args:
        job_definition, job_queue: Names or ARNs.
        parameters: Names of the definition's parameters that a model gives, as text.
        poll_s: Longest time between two looks, seconds.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = tool_name(job_definition)
    longest = check_poll(name, poll_s)

    def make(access: Access) -> Remote:
        def start(arguments: dict[str, Any]) -> dict[str, Any]:
            run = Run()
            parameters: dict[str, Any] = {
                "jobName": run.id,
                "jobQueue": job_queue,
                "jobDefinition": job_definition,
                "parameters": _given(arguments),
            }
            started = run.begin(
                lambda: access.call("batch", "submit_job", f"job definition {job_definition}", once=True, **parameters)
            )
            return {"job": started["jobId"]}

        def follow(handle: Mapping[str, Any]) -> Following:
            job_id = str(handle["job"])
            about = f"Batch job {job_id}"

            unknown = 0

            def look() -> Any:
                nonlocal unknown
                jobs = access.call("batch", "describe_jobs", about, jobs=[job_id])["jobs"]
                unknown = 0 if jobs else unknown + 1
                if unknown > FAULTS:
                    raise AWSError(f"AWS Batch does not know the {about} any more.", code="JobNotFound")
                if not jobs or jobs[0]["status"] not in ("SUCCEEDED", "FAILED"):
                    _say_batch(jobs[0] if jobs else {})
                    return None
                return jobs[0]

            def stop() -> str:
                access.call("batch", "terminate_job", about, jobId=job_id, reason=_REASON)
                return f"The {about} was terminated."

            return Following(about, look, lambda job: _batch_value(job_id, job), longest=longest, stop=stop)

        return Remote(start, follow)

    return define(
        "batch",
        make,
        name=name,
        description=f"Runs the AWS Batch job {tool_name(job_definition)}.",
        input_schema=_schema(parameters),
        options=options,
        about=job_definition,
    )


def glue_job_tool(
    job_name: str, *, parameters: Iterable[str] = (), poll_s: float = 15.0, **options: Unpack[ToolOptions]
) -> AsyncTool:
    """Return a tool that runs a Glue job and returns how it ended. It is stopped when the task is cancelled.

    Args:
        job_name: The job.
        parameters: Names of its arguments that a model gives, as text, without the ``--``.
        poll_s: Longest time between two looks, seconds.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = tool_name(job_name)
    longest = check_poll(name, poll_s)

    def make(access: Access) -> Remote:
        def start(arguments: dict[str, Any]) -> dict[str, Any]:
            given = {f"--{parameter}": value for parameter, value in _given(arguments).items()}
            started = Run().begin(
                lambda: access.call(
                    "glue", "start_job_run", f"Glue job {job_name}", once=True, JobName=job_name, Arguments=given
                )
            )
            return {"run": started["JobRunId"]}

        def follow(handle: Mapping[str, Any]) -> Following:
            run_id = str(handle["run"])
            about = f"run {run_id} of the Glue job {job_name}"

            def look() -> Any:
                found = access.call("glue", "get_job_run", about, JobName=job_name, RunId=run_id)["JobRun"]
                if found["JobRunState"] not in _GLUE_ENDS:
                    progress(message=found["JobRunState"].lower())
                    return None
                return found

            def stop() -> str:
                access.call("glue", "batch_stop_job_run", about, JobName=job_name, JobRunIds=[run_id])
                return f"The {about} was asked to stop."

            return Following(
                about,
                look,
                lambda found: {"job_run_id": run_id, **_glue_value(run_id, about, found)},
                longest=longest,
                stop=stop,
            )

        return Remote(start, follow)

    return define(
        "glue",
        make,
        name=name,
        description=f"Runs the AWS Glue job {job_name}.",
        input_schema=_schema(parameters),
        options=options,
    )


def _batch_value(job_id: str, job: Mapping[str, Any]) -> dict[str, Any]:
    container = job.get("container", {})
    if job["status"] != "SUCCEEDED":
        said = " ".join(str(part) for part in (job.get("statusReason"), container.get("reason")) if part)
        code = container.get("exitCode")
        text = f"The Batch job {job_id} failed{f' with exit code {code}' if code is not None else ''}"
        raise AWSError(f"{text}: {cut(said or 'Batch does not say why', 1000)}", code="FAILED")
    return {"job_id": job_id, "status": "SUCCEEDED", "log_stream": container.get("logStreamName")}


def _glue_value(run_id: str, about: str, found: Mapping[str, Any]) -> dict[str, Any]:
    state = found["JobRunState"]
    if state != "SUCCEEDED":
        said = cut(str(found.get("ErrorMessage") or "Glue does not say why"), 1000)
        raise AWSError(f"The {about} ended as {state}: {said}", code=state)
    return {"job_run_id": run_id, "status": state, "execution_s": found.get("ExecutionTime")}


def _schema(parameters: Iterable[str]) -> dict[str, Any]:
    names = [parameters] if isinstance(parameters, str) else list(parameters)
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}


def _given(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in arguments.items()}


def _say_batch(job: Mapping[str, Any]) -> None:
    size = job.get("arrayProperties", {})
    ended = size.get("statusSummary", {})
    message = str(job.get("status", "submitted")).lower()
    if size.get("size"):
        progress(ended.get("SUCCEEDED", 0) + ended.get("FAILED", 0), size["size"], message)
    else:
        progress(message=message)
