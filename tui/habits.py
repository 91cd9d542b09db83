"""What one expects of any program in a terminal: themes, keys of one's own, help, a palette, copies, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import NoColor

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import config, copying, kept, own_files, picture
from perfwatch.tui.commands import Commands
from perfwatch.tui.config import Config
from perfwatch.tui.kept import Kept
from perfwatch.tui.keys import Keyed
from perfwatch.tui.repaint import Repaint
from perfwatch.tui.screens.help import help_sheet, legend_sheet
from perfwatch.tui.theme import DEFAULT, FEW_COLOURS, THEMES, VARIABLES, look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.command import Provider
    from textual.driver import Driver
    from textual.filter import LineFilter

    from perfwatch.tui.choices import Choices

_CLIPBOARDLESS = frozenset({"linux", "dumb"})
COPIED = "copied.txt"


class Habits(NamedTuple):
    """What a person configured, and what is kept from the last run."""

    config: Config = Config()
    kept: Kept = Kept()
    environ: Mapping[str, str] = {}
    """Where what is copied and kept goes; without anything in it, nowhere."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Habits:
        """Read what there is; raises PerfwatchError where a configuration cannot be followed."""
        return cls(config.load(environ), kept.load(environ), environ)


class HabitualApp(Keyed, App[None]):
    """An application that knows nothing yet of what it shows."""

    KEYS_OF = "everywhere"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "command_palette", "command palette: everything by its name", show=False, key_display=":"),
        Binding("s", "picture", "save a picture and the text of the screen", show=False),
        Binding("y", "copy", "copy the selected verdict or row as text", show=False),
        Binding("T", "theme", "next theme", show=False),
        Binding("l", "legend", "legend", show=False),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", show=False),
    ]

    def __init__(self, habits: Habits = Habits()) -> None:  # noqa: B008 - it is frozen
        super().__init__()
        self._environ = habits.environ
        self._repaint = Repaint({})
        self.chosen_theme = habits.kept.theme if habits.kept.theme in THEMES else ""
        self._take_theme(habits.config.theme or self.chosen_theme or self._fitting_theme())
        self.keymap = dict(habits.config.keymap)
        self.set_keymap(self.keymap)
        self.choices: Choices = habits.kept.choices

    def get_driver_class(self) -> type[Driver]:
        """Return what reads the keys; on Linux, one that knows an escape soon."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from perfwatch.tui.driver import PromptDriver  # noqa: PLC0415 - there are terminals only where there is a driver

        return PromptDriver

    def keep(self, page: str | None) -> None:
        """Keep what was chosen until the next run."""
        if self._environ:
            kept.save(Kept(page or "", self.chosen_theme, self.choices), self._environ)

    # Themes

    def _fitting_theme(self) -> str:
        """Return what suits the terminal, where there is one."""
        return FEW_COLOURS if self._environ and self.console.color_system == "standard" else DEFAULT

    def _take_theme(self, name: str) -> None:
        found = look(name)
        self.register_theme(found.theme)
        self._repaint = Repaint(found.colours)
        self.theme = name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Say what our own variables are in a theme that is not ours."""
        return {name: look(DEFAULT).theme.variables[name] for name in VARIABLES}

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return what all that is drawn goes through: the theme; where no colour is wanted, that instead."""
        if self.no_color:
            return (_NO_COLOUR,)
        others = super().get_line_filters()
        return (self._repaint, *others) if self._repaint.enabled else others

    def action_theme(self, name: str | None = None) -> None:
        """Take a theme, or the next one."""
        names = list(THEMES)
        after = names[(names.index(self.theme) + 1) % len(names)]
        self.chosen_theme = after if name is None or name not in THEMES else name
        self._take_theme(self.chosen_theme)
        self.notify(f"theme: {self.theme}, {THEMES[self.theme]}", markup=False, timeout=2)

    # Help

    def action_help(self) -> None:
        """Show the keys, those that work here first."""
        self.push_screen(help_sheet(self.screen, self.keymap))

    def action_legend(self) -> None:
        """Show what glyphs and letters mean."""
        self.push_screen(legend_sheet())

    # Copies and pictures

    def action_copy(self) -> None:
        """Copy what is selected, and keep it in a file: no terminal says whether it took a copy."""
        text = copying.selected(self.screen)
        if text is None:
            self.notify("there is nothing to copy yet", markup=False)
            return
        directory = own_files.state_directory(self._environ)
        is_kept = bool(self._environ) and own_files.write(directory, COPIED, text.encode())
        can_copy = self._environ.get("TERM") not in _CLIPBOARDLESS
        if can_copy:
            self.copy_to_clipboard(text)
        told = ["to the clipboard, if the terminal allows"] * can_copy + [f"to {directory / COPIED}"] * is_kept
        self.notify(f"copied {' and '.join(told)}" if told else "this terminal has no clipboard", markup=False)

    def action_picture(self) -> None:
        """Save the screen as SVG and as text in the current directory."""
        try:
            paths = picture.save(self, Path.cwd())
        except PerfwatchError as error:
            self.complain(error)
        else:
            self.notify(f"saved {' and '.join(map(str, paths))}", markup=False)

    def complain(self, error: PerfwatchError) -> None:
        """Tell what went wrong."""
        self.notify(str(error), severity="error", markup=False)


_NO_COLOUR = NoColor()
