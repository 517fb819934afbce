"""The section of what went wrong: failed and infeasible trials, grouped by reason, with their tracebacks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nasengine.records import Trial
from nasengine.report.blocks import Block, Code, Details, Text
from nasengine.report.records import Searched
from nasengine.wording import plural

MOST_GROUPS, MOST_NUMBERS, LONGEST = 20, 40, 8_000
NUMBER = re.compile(r"-?\d[\d,_.]*(?:[eE][-+]?\d+)?")


def failure_blocks(search: Searched) -> list[Block]:
    """One entry a reason, most frequent first; reasons that differ in numbers only are one."""
    blocks: list[Block] = []
    for status in ("failed", "infeasible"):
        trials = [trial for trial in search.trials if trial.status == status]
        if not trials:
            continue
        blocks.append(Text(f"{plural(len(trials), 'trial')} {status}:"))
        groups = sorted(grouped(trials), key=lambda members: (-len(members), members[0].number))
        blocks += [_group(search, members) for members in groups[:MOST_GROUPS]]
        if len(groups) > MOST_GROUPS:
            left = sum(len(members) for members in groups[MOST_GROUPS:])
            blocks.append(Text(f"… and {plural(left, 'trial')} for {len(groups) - MOST_GROUPS} other reasons."))
    return blocks


def grouped(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials whose reasons are the same up to their numbers."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(NUMBER.sub("#", trial.reason), []).append(trial)
    return list(groups.values())


def _group(search: Searched, members: Sequence[Trial]) -> Details:
    numbers = ", ".join(str(trial.number) for trial in members[:MOST_NUMBERS])
    more = f" and {len(members) - MOST_NUMBERS} more" if len(members) > MOST_NUMBERS else ""
    inside: list[Text | Code] = [Text(f"trials {numbers}{more}")]
    for trial in members:
        traceback = search.details.get(trial.number, {}).get("traceback")
        if isinstance(traceback, str):
            text = traceback if len(traceback) <= LONGEST else f"…\n{traceback[-LONGEST:]}"
            inside.append(Code(text.strip(), f"traceback of trial {trial.number}"))
            inside.append(Text(f"Traceback of trial {trial.number}."))
            break
    reason = members[0].reason or "no reason was given"
    return Details(f"{len(members):,} × {reason}", inside)
