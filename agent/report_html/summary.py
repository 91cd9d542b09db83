"""The top of the page: what was watched, the verdict in words, the four signals as figures, deadlocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.because import also, facts, is_told
from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.report_gains import gains_of_verdict
from perfwatch.agent.report_html.markup import Html, element, joined, listed, section, told
from perfwatch.agent.report_layout import moment, shown_ms
from perfwatch.agent.report_tables import LETTERS
from perfwatch.agent.report_text import also_watched

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from perfwatch.agent.model import Principle
    from perfwatch.agent.report_contract import ChainLink, EndpointReport, Judgement, Report, RequestReport

_EVIDENCE: Final = 8
_LINKS: Final = 8


def head(report: Report) -> Html:
    """Say what was watched, when and where."""
    session = report.session
    started = moment(session.started_at, "%Y-%m-%d %H:%M:%S")
    when = f"{started} UTC, {duration(session.duration_s * 1e9)}, on {session.host.hostname}"
    lines = (f"{when} · Python {session.python or '?'} · {session.fidelity}", *also_watched(session))
    return element(
        "header",
        element("p", "perfwatch report", class_="brand"),
        element("h1", f"{session.server or 'process'} (pid {session.pid})"),
        element("p", session.command, class_="command"),
        *(element("p", line, class_="quiet") for line in lines),
    )


def verdict(report: Report, linked: Container[int]) -> Html:
    """Say what is slow, why, and what to do."""
    one = report.verdict
    sure = f"{one.principle}, {one.mechanism}; confidence {percent(one.confidence)}" if one.mechanism else one.principle
    card = element(
        "div",
        element("p", badge(one.principle), element("strong", one.summary), class_="lead"),
        element("p", sure, class_="quiet"),
        reasons(one, linked, one.advice, gains_of_verdict(report)),
        class_=f"verdict edge-{one.principle}",
    )
    return section("verdict", "Verdict", _sampled(report), card, _signals(report), _deadlocks(report))


def reasons(
    one: Judgement | EndpointReport | RequestReport,
    linked: Container[int],
    advice: Sequence[str],
    gained: Iterable[str] = (),
) -> Html:
    """Say why: the chain of blame, the facts, what else it is, what to do, and what that would bring.

    `linked` are the requests that the page shows, by id: who is one of them is a link.
    """
    why = [fact.text for fact in facts(one.evidence, _EVIDENCE)]
    if others := also(one.causes, one.mechanism):
        why.append(f"{'also' if one.mechanism else 'seen'}: {others}")
    chain_told = Html() if is_told(one.chain) else chain(one.chain, linked)
    return element(
        "dl",
        *_entry("who", chain_told),
        *_entry("why", listed(why)),
        *_entry("what to do", listed(advice)),
        *_entry("what if", listed(gained)),
    )


def badge(principle: Principle) -> Html:
    """Return the letter of a principle, and its name for those who do not see it."""
    return element(
        "span", LETTERS[principle], class_=f"badge c-{principle}", title=principle, role="img", aria_label=principle
    )


def chain(links: Sequence[ChainLink], linked: Container[int]) -> Html:
    """Return a chain of blame as a list in a list in a list."""
    inner = Html()
    for link in reversed(links[:_LINKS]):
        inner = element("ul", element("li", request_link(link.text, link.request, linked), inner), class_="chain")
    return inner


def request_link(text: str, request: int | None, linked: Container[int]) -> Html:
    """Return a text that leads to a request, where the page shows it."""
    return element("a", text, href=f"#request-{request}") if request is not None and request in linked else told(text)


def _entry(name: str, content: Html) -> Iterator[Html]:
    if content:
        yield element("dt", name)
        yield element("dd", content)


def _sampled(report: Report) -> Html:
    """Say plainly that this is an estimate."""
    if report.session.fidelity != "sampled":
        return Html()
    return element("p", "Sampled, not measured: ledgers are estimates, and short waits are missed.", class_="warning")


def _signals(report: Report) -> Html:
    """Return the four signals of the whole recording."""
    return element("div", *(_tile(*one) for one in _tiles(report)), class_="tiles")


def _tiles(report: Report) -> Iterator[tuple[str, str, str]]:
    totals, latency, used = report.requests, report.requests.latency_ms, report.saturation
    if latency is not None:
        rest = f"p50 {shown_ms(latency.p50)}, p99 {shown_ms(latency.p99)}, max {shown_ms(latency.max)}"
        yield "latency, p95", shown_ms(latency.p95), rest
    rate = f"{totals.throughput_rps:.1f}/s"
    yield "throughput", rate, f"{totals.count} requests, {totals.concurrency:.1f} at a time"
    failed = totals.errors / totals.count if totals.count else 0.0
    yield "errors", percent(failed), f"{totals.errors} failed; {totals.slow_count} slow"
    shares = {"cpu": used.cpu, "memory": used.memory, "disk": used.disk, "network": used.network}
    known = {name: share for name, share in shares.items() if share is not None}
    if known:
        fullest = max(known, key=known.__getitem__)
        rest = ", ".join(f"{name} {percent(share)}" for name, share in known.items() if name != fullest)
        yield f"saturation, {fullest}", percent(known[fullest]), rest


def _tile(name: str, figure: str, rest: str) -> Html:
    return element(
        "div",
        element("span", name, class_="quiet"),
        element("b", figure),
        element("span", rest, class_="quiet"),
        class_="tile",
    )


def _deadlocks(report: Report) -> Html:
    """Name those that wait for each other."""
    return joined(
        element(
            "div",
            element("p", element("strong", one.summary)),
            listed(link.text for link in one.members),
            class_="verdict",
        )
        for one in report.deadlocks
    )
