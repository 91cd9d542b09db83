"""Call trees for other programs: the formats that pyinstrument writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, assert_never, get_args

from pyinstrument.renderers import JSONRenderer, SpeedscopeRenderer

if TYPE_CHECKING:
    from pyinstrument.session import Session

Form: TypeAlias = Literal["json", "speedscope"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)


def written(session: Session, form: Form) -> str:
    """Return the whole tree in a format, one line of JSON; times are seconds, rounded to the microsecond."""
    match form:
        case "json":
            return str(JSONRenderer(show_all=True).render(session))
        case "speedscope":
            return str(SpeedscopeRenderer(show_all=True).render(session))
        case _:
            assert_never(form)
