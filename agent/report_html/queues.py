"""The sections on the host: where something waited, how far each resource was used, and how the server scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.report_gains import scaling
from perfwatch.agent.report_html.bars import meter
from perfwatch.agent.report_html.markup import Html, element, joined, listed, section, table
from perfwatch.agent.report_queues import NONE, queue_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_queues import Saturation
    from perfwatch.agent.report_contract import Report


def queues(report: Report) -> Html:
    """Say where something waited; what was not measured is left out."""
    groups: list[tuple[str, list[str]]] = []
    for name, text in queue_words(report.queues):
        if name == "gc":  # its section is that on memory
            break
        if name or not groups:
            groups.append((name, []))
        groups[-1][1].append(text)
    told = joined(joined((element("dt", name), element("dd", listed(texts)))) for name, texts in groups)
    return section("queues", "Queues", element("dl", told) if told else None)


def resources(report: Report) -> Html:
    """List the resources in the USE manner, and what more workers or cores would bring."""
    heads = ("resource", "used", "saturated", "errors", "that is")
    rows = (tuple(_resource(one)) for one in report.saturation.resources)
    scalability = report.saturation.scalability
    scales = () if scalability is None else (element("h3", "Scalability"), listed(scaling(scalability)))
    return section("resources", "Resources", table(heads, rows, frozenset({3})), *scales)


def _resource(one: Saturation) -> Iterator[str | Html]:
    yield one.resource
    for name, share in (("used", one.utilisation), ("saturated", one.saturation)):
        words = NONE if share is None else percent(share)
        yield joined((words, meter(share, f"{one.resource} {name} {words}")))
    yield NONE if one.errors is None else str(one.errors)
    yield one.text
