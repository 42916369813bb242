"""The switch: whether sessions are traced and measured, and the telemetry of one that is. Imports no OpenTelemetry."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError
from .session import About, Session
from .signals import Signal, label

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from .otel import Instruments, Recorder

__all__ = ["SessionTelemetry", "instrument", "session_telemetry", "uninstrument"]

logger = logging.getLogger(__name__)

VARIABLE = "BACKCHANNEL_TELEMETRY"
"""Set to 1, true, yes or on it switches telemetry on, with the global providers."""


class _Switch:
    """``instruments`` where it is on; ``decided`` once code has said so, which outweighs the environment."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.instruments: Instruments | None = None
        self.captures_content = False
        self.decided = False


_switch = _Switch()


def instrument(
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    *,
    capture_content: bool = False,
) -> None:
    """Trace and measure the agents that are started from now on.

    Args:
        tracer_provider: Where spans go; by default the global provider.
        meter_provider: Where measurements go; by default the global provider.
        capture_content: Keep what was said, arguments, results and error messages too, without secrets.

    Raises:
        MissingExtraError: If OpenTelemetry is not installed.
    """
    instruments = _instruments(tracer_provider, meter_provider)
    with _switch.lock:
        _switch.instruments, _switch.captures_content, _switch.decided = instruments, bool(capture_content), True


def uninstrument() -> None:
    """Do not trace and measure agents that are started from now on, whatever the environment says."""
    with _switch.lock:
        _switch.instruments, _switch.captures_content, _switch.decided = None, False, True


def session_telemetry(agent: Any, now: float | None = None) -> SessionTelemetry | None:
    """Return the telemetry of a session that begins now; None where it is switched off. Never raises.

    Args:
        agent: Its ``agent_id``, ``name``, ``model`` and ``profile`` are read.
        now: Seconds on the clock of all later facts; by default the time of the running event loop.
    """
    if not _switch.decided and os.environ.get(VARIABLE, "").strip().lower() in ("1", "true", "yes", "on"):
        _switch_on_by_environment()
    instruments = _switch.instruments
    if instruments is None:
        return None
    try:
        moment = _loop_time() if now is None else now
        session = Session(_about(agent), moment, captures_content=_switch.captures_content)
        return SessionTelemetry(session, instruments.recorder(moment))
    except Exception as error:  # noqa: BLE001 - telemetry must not keep a conversation from starting
        logger.warning("this session has no telemetry: %s was raised at its start", type(error).__name__)
        return None


class SessionTelemetry:
    """The telemetry of one session: what it is told becomes spans and measurements. Nothing that it does raises."""

    def __init__(self, session: Session, recorder: Recorder) -> None:
        self._session = session
        self._recorder = recorder
        self._failed = False
        self._apply(session.begin())

    def take(self, fact: object, now: float) -> None:
        """Take in a fact of `backchannel.events`.

        Args:
            fact: What happened.
            now: When, seconds on the clock of the session's start.
        """
        try:
            signals = self._session.take(fact, now)
        except Exception as error:  # noqa: BLE001 - telemetry must not disturb a conversation
            self._report(error)
            return
        if signals:
            self._apply(signals)

    def ended(self, error: BaseException | None, now: float) -> None:
        """The session has ended; its open spans are ended. A second time does nothing.

        Args:
            error: What ended it, or None.
            now: When, seconds on the clock of the session's start.
        """
        try:
            self._apply(self._session.end(error, now))
        except Exception as failure:  # noqa: BLE001 - telemetry must not disturb a conversation
            self._report(failure)
        try:
            self._recorder.close()
        except Exception as failure:  # noqa: BLE001 - telemetry must not disturb a conversation
            self._report(failure)

    def _apply(self, signals: Iterable[Signal]) -> None:
        for signal in signals:
            try:
                self._recorder.apply(signal)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep others from being kept
                self._report(error)

    def _report(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            logger.warning(
                "telemetry of a session failed: %s was raised; more of it is not logged, the conversation goes on",
                type(error).__name__,
                exc_info=error,
            )


def _instruments(tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> Instruments:
    try:
        from .otel import Instruments
    except ImportError as error:
        raise MissingExtraError("Telemetry", "otel") from error
    return Instruments(tracer_provider, meter_provider)


def _switch_on_by_environment() -> None:
    try:
        instruments = _instruments(None, None)
    except Exception as error:  # noqa: BLE001 - a variable must not keep agents from starting
        logger.warning("%s is set, but telemetry stays off: %s", VARIABLE, error)
        instruments = None
    with _switch.lock:
        if not _switch.decided:
            _switch.instruments, _switch.decided = instruments, True


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def _about(agent: Any) -> About:
    profile = getattr(agent, "profile", None)
    model = getattr(agent, "model", None)
    rate = getattr(profile, "output_rate", None)
    name = getattr(model, "model_id", None) or getattr(profile, "name", None) or type(model).__name__
    return About(
        agent_id=label(getattr(agent, "agent_id", "default")),
        agent_name=label(getattr(agent, "name", "agent"), 100),
        model=label(name, 100),
        rate=rate if isinstance(rate, int) and rate > 0 else 16000,
    )
