"""Every exception of Backchannel.

Each says what happened, to which named thing, and what to do about it.

    BackchannelError
    ├── AgentStateError          (RuntimeError)    started twice, used before start, used after stop
    ├── InvalidInputError        (ValueError)      an event, message or setting that cannot be used
    ├── AudioFormatError         (ValueError)      audio that is not what it says, or cannot be converted
    ├── AudioDeviceError         (RuntimeError)    a microphone or speaker cannot be opened, or went away
    ├── MissingExtraError        (ImportError)     an optional part is not installed; names the extra
    ├── ToolDefinitionError      (ValueError)      a function or object that cannot become a tool
    ├── ToolArgumentsError       (ValueError)      arguments that do not fit a tool's schema
    ├── ModelError                                 a model could not be reached, or answered with an error
    │   ├── BidiModelTimeoutError                  a connection came to its time limit; the agent restarts it
    │   ├── ModelThrottledError                    the provider takes no more requests for now
    │   └── ScriptError          (AssertionError)  a ScriptedModel was used otherwise than its script says
    ├── TaskError                                  a background task has no value
    │   ├── TaskFailedError                        its function raised; `__cause__` has the original
    │   ├── TaskCancelledError                     it was cancelled
    │   ├── TaskTimedOutError    (TimeoutError)    it ran longer than its time-out
    │   ├── TaskLostError                          its process ended under it; it can be run again
    │   ├── TaskTransferError    (TypeError)       its function, an argument or its result cannot go to another process
    │   ├── TaskWorkerError      (RuntimeError)    the process or cluster that ran it died or cannot be reached
    │   └── TaskRefusedError                       it was not accepted: queue full, manager shut down
    ├── AWSError                                   AWS refused, was not reached, or what ran there failed
    └── SessionError                               a stored session or task ledger cannot be used as asked
        ├── SessionConflictError                   someone else writes it, or wrote it meanwhile
        ├── SessionDamagedError                    what is stored is not what was written
        ├── SessionVersionError                    it was written by a newer Backchannel
        └── SessionStorageError                    the disk or S3 refused; `__cause__` has the original
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AWSError",
    "AgentStateError",
    "AudioDeviceError",
    "AudioFormatError",
    "BackchannelError",
    "BidiModelTimeoutError",
    "InvalidInputError",
    "MissingExtraError",
    "ModelError",
    "ModelThrottledError",
    "ScriptError",
    "SessionConflictError",
    "SessionDamagedError",
    "SessionError",
    "SessionStorageError",
    "SessionVersionError",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskLostError",
    "TaskRefusedError",
    "TaskTimedOutError",
    "TaskTransferError",
    "TaskWorkerError",
    "ToolArgumentsError",
    "ToolDefinitionError",
]


class BackchannelError(Exception):
    """Base of all errors that Backchannel raises on purpose."""


class AgentStateError(BackchannelError, RuntimeError):
    """The agent is not in the state that the call needs."""


class InvalidInputError(BackchannelError, ValueError):
    """An input that cannot be used; nothing was sent."""


class AudioFormatError(BackchannelError, ValueError):
    """Audio that cannot be read or converted."""


class AudioDeviceError(BackchannelError, RuntimeError):
    """A microphone or speaker cannot be opened, or went away during a conversation."""


class MissingExtraError(BackchannelError, ImportError):
    """An optional part of Backchannel is not installed.

    Args:
        feature: What was asked for, as the user would name it.
        extra: The extra that brings it, as in ``pip install "backchannel[extra]"``.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f'{feature} needs packages that are not installed. Install them with: pip install "backchannel[{extra}]"'
        )


class ToolDefinitionError(BackchannelError, ValueError):
    """A function or object that cannot become a tool."""


class ToolArgumentsError(BackchannelError, ValueError):
    """Arguments that do not fit a tool's schema; the tool did not run."""


class ModelError(BackchannelError):
    """A model could not be reached, or answered with an error."""


class BidiModelTimeoutError(ModelError):
    """A model connection came to its time limit; the agent answers by restarting it.

    Args:
        message: What the model reported.
        **restart_config: Passed on to the model's ``start`` at the restart.
    """

    def __init__(self, message: str, **restart_config: Any) -> None:
        super().__init__(message)
        self.restart_config = restart_config


class ModelThrottledError(ModelError):
    """The provider takes no more requests for now; the same call may be made again later."""


class ScriptError(ModelError, AssertionError):
    """A ScriptedModel was used otherwise than its script says."""


class TaskError(BackchannelError):
    """A background task has no value."""


class TaskFailedError(TaskError):
    """The task's function raised; ``__cause__`` holds the original exception."""


class TaskCancelledError(TaskError):
    """The task was cancelled."""


class TaskTimedOutError(TaskError, TimeoutError):
    """The task ran longer than its time-out."""


class TaskLostError(TaskError):
    """The process that had the task ended, and nothing came of it; `Task.run_again` starts it once more."""


class TaskTransferError(TaskError, TypeError):
    """What a task needs or returns cannot be sent between this process and the one that runs it; names the thing."""


class TaskWorkerError(TaskError, RuntimeError):
    """What ran the task died or cannot be reached; the task has no value, and others go on."""


class TaskRefusedError(TaskError):
    """The task was not accepted and did not run."""


class AWSError(BackchannelError):
    """AWS refused a tool's request or was not reached, or what it ran there failed.

    Args:
        code: AWS's code of the error, or "".
        may_pass: Whether the same request may succeed later.
    """

    def __init__(self, message: str, *, code: str = "", may_pass: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_pass = may_pass


class SessionError(BackchannelError):
    """A stored session or task ledger cannot be used as asked."""


class SessionConflictError(SessionError):
    """Someone else writes it, or has written it since it was read; nothing of theirs was overwritten."""


class SessionDamagedError(SessionError):
    """What is stored is not what was written; nothing was changed."""


class SessionVersionError(SessionError):
    """It was written by a newer version; nothing was changed."""


class SessionStorageError(SessionError):
    """The disk or S3 refused; ``__cause__`` holds the original exception."""
