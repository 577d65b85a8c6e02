"""Runs the tasks of one job, one after the other, whatever becomes of each."""

from __future__ import annotations

import time
import traceback
from typing import Any

from .context import MAX_PHASES, Context, Tampered
from .graph import plan, reason_to_skip
from .job import Job
from .layout import Account, Layout
from .outbox import Outbox
from .phase import PhaseRunner
from .tasks import TASKS
from .verdict import Verdict
from .warmup import Warmth

__all__ = ["run_job"]

MIN_TASK_S = 0.5
"""A task is not begun with less time than this."""


def run_job(job: Job, layout: Layout, account: Account, outbox: Outbox, warmth: Warmth) -> None:
    """Run every selected task and its prerequisites; one ``task.finished`` for each."""
    context = Context(
        job=job,
        layout=layout,
        account=account,
        outbox=outbox,
        runner=PhaseRunner(layout, account),
        warmth=warmth,
        deadline=time.monotonic() + job.time_limit_s,
    )
    outcomes: dict[str, str] = {}
    late = False
    for task in plan(job.tasks):
        context.begin(task)
        reason = reason_to_skip(task, outcomes)
        limit = f"the job's time limit of {job.time_limit_s:g} s"
        started = time.monotonic()
        if reason is not None:
            verdict = Verdict("skipped", None, reason)
        elif late:
            verdict = Verdict("skipped", "resource", f"not started: {limit} was used up")
        elif context.deadline - started < MIN_TASK_S:
            late = True
            verdict = Verdict("timeout", "resource", f"not started: {limit} was used up")
        else:
            outbox.record("task.started", task=task)
            verdict = _attempt(context, task)
            if verdict.outcome == "timeout" and time.monotonic() >= context.deadline:
                verdict.detail = f"{verdict.detail} ({limit} was used up)"
        outcomes[task] = verdict.outcome
        _finish(context, task, verdict, time.monotonic() - started)


def _attempt(context: Context, task: str) -> Verdict:
    try:
        return TASKS[task](context)
    except Tampered as error:
        return Verdict("failed", "package", str(error))
    except Exception as error:  # noqa: BLE001 - a fault of the agent is a result too, and ends only this task
        traceback.print_exc()
        return Verdict("error", "infrastructure", f"the agent failed: {type(error).__name__}: {error}")


def _finish(context: Context, task: str, verdict: Verdict, seconds: float) -> None:
    fields: dict[str, Any] = {
        "task": task,
        "outcome": verdict.outcome,
        "cause": verdict.cause,
        "detail": verdict.detail,
        "wall_s": round(seconds, 6),
        "phases": [phase.record() for phase in context.phases[-MAX_PHASES:]],
        "artefacts": verdict.artefacts[:32],
        "data": verdict.data,
    }
    context.outbox.record("task.finished", **fields)
