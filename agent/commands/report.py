"""`perfwatch report`: what a recording says, as text, as JSON or as a page, and the call trees of its requests."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.redaction_options import Recording, recording
from perfwatch.agent.commands.tree_options import TreeChoice, tree_choice, wants_color
from perfwatch.agent.report import to_json, to_text
from perfwatch.agent.report_reading import Read, read_to_end
from perfwatch.agent.selection import chosen, latest
from perfwatch.agent.session.place import make


@click.command(
    epilog="""\b
Examples:
  perfwatch report slow.perfwatch
  perfwatch report slow.perfwatch --json | jq .verdict
  perfwatch report slow.perfwatch --tree --endpoint "POST /order"
  perfwatch report slow.perfwatch --tree --from 10:27 --to 10:30
  perfwatch report slow.perfwatch --html slow.html
  perfwatch report slow.perfwatch --redact --keep order > to-share.txt
  perfwatch report slow.perfwatch --markdown - | gh issue create --title "Slow orders" --body-file -
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (schema perfwatch.report/1).")
@click.option("--html", type=options.FILE, metavar="OUT", help="Write one HTML file with all of it; - prints it.")
@click.option("--markdown", type=options.FILE, metavar="OUT", help="Write a ticket as Markdown; - prints it.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@tree_choice
@recording
def report(  # noqa: PLR0913 - one for each option
    recording: Recording,
    *,
    as_json: bool,
    html: Path | None,
    markdown: Path | None,
    overwrite: bool,
    choice: TreeChoice,
) -> None:
    """Say what a recording holds: the verdict, the endpoints, the slow requests; or where in the code time went."""
    is_tree = choice.tree or choice.form != "text" or (choice.narrows and html is None)
    if as_json and is_tree:
        raise click.UsageError("--json is the whole report; a call tree as JSON is --tree --as json")
    with recording.opened() as session:
        read = read_to_end(session)
    if html is not None:
        _write_page(read, choice, html, overwrite=overwrite)
    if markdown is not None:
        _write_ticket(read, markdown, overwrite=overwrite)
    if as_json:
        click.echo(to_json(read.report), nl=False)
    elif is_tree:
        _print_tree(read, choice)
    elif html is None and markdown is None:
        click.echo(to_text(read.report, text_width()), nl=False)


def text_width() -> int:
    """Width of a text report: the terminal's, within what reads well."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 80), 120)


def _print_tree(read: Read, choice: TreeChoice) -> None:
    from perfwatch.agent.report_trees import to_tree_text, tree_of  # noqa: PLC0415 - pyinstrument takes 50 ms
    from perfwatch.agent.trees.formats import to_json as tree_json  # noqa: PLC0415

    tree = tree_of(read.info, chosen(read.judged, choice.selection(read.info, read.view.first_ns, read.view.now_ns)))
    if choice.form == "text":
        click.echo(to_tree_text(tree, text_width(), color=wants_color()), nl=False)
    else:
        click.echo(tree_json(tree.session), nl=False)


def _write_page(read: Read, choice: TreeChoice, html: Path, *, overwrite: bool) -> None:
    from perfwatch.agent.report_drawn import drawn_of  # noqa: PLC0415 - not every report is a page
    from perfwatch.agent.report_html.document import to_html  # noqa: PLC0415

    requests = (
        chosen(read.judged, choice.selection(read.info, read.view.first_ns, read.view.now_ns))
        if choice.narrows
        else latest(read.judged)
    )
    page = to_html(read.report, drawn_of(read.report, read.info, read.view, requests))
    _write(html, page, overwrite=overwrite)


def _write_ticket(read: Read, markdown: Path, *, overwrite: bool) -> None:
    from perfwatch.agent.report_markdown import to_markdown  # noqa: PLC0415 - see above

    _write(markdown, to_markdown(read.report), overwrite=overwrite)


def _write(file: Path, text: str, *, overwrite: bool) -> None:
    """Write a file for its owner alone; - is the standard output."""
    if file == Path("-"):
        click.echo(text, nl=False)
        return

    def fill(draft: Path) -> None:
        draft.write_text(text, encoding="utf-8")

    make(file, fill, overwrite=overwrite)
    click.echo(f"wrote {file}", err=True)
