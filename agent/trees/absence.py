"""Whether there is anything to make a call tree of, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import SessionInfo, StackTime

_PROBE: Final = "stacks"
_DOCTOR: Final = "`perfwatch doctor` says what stacks need"


def is_code_known(stacks: Iterable[StackTime]) -> bool:
    """Tell whether any time is known to have been spent in some code."""
    return any(stack.frames for stack in stacks)


def why_no_stacks(info: SessionInfo) -> tuple[str, str]:
    """Say why requests have no stacks, and what to do; harmless to show."""
    probe = next((one for one in info.probes if one.name == _PROBE and one.status != "running"), None)
    if probe is None:
        return "no stacks were recorded", _DOCTOR
    return clean(f"no stacks were recorded: {probe.reason or 'their probe did not run'}"), clean(
        probe.remedy or _DOCTOR
    )
