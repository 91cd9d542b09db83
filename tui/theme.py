"""The colours of the surfaces; those of what is shown on them are in `palette`."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

THEME: Final = Theme(
    name="perfwatch",
    primary="#7cc4ff",
    secondary="#8b95a1",
    accent="#7cc4ff",
    foreground="#d7dce2",
    background="#10151b",
    surface="#161d26",
    panel="#1d2631",
    success="#7fb77e",
    warning="#e2c064",
    error="#ef6b73",
    dark=True,
    variables={
        "footer-background": "#161d26",
        "footer-key-foreground": "#7cc4ff",
        "footer-description-foreground": "#8b95a1",
        "block-cursor-text-style": "none",
    },
)
