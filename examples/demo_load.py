"""The demo's load: customers of the shop, or of the storefront, few enough to leave most of a core idle.

Runs until it is told to end: `python -m perfwatch.examples.demo_load 127.0.0.1:8000`, with `storefront` behind it for
customers of the two services.
"""

from __future__ import annotations

import signal
import sys
from typing import Final

from perfwatch.examples.http_client import Call
from perfwatch.examples.leash import leash
from perfwatch.examples.load import Endpoint, Load

MIX: Final = (
    Endpoint(Call("/item/{n}"), clients=4, pause_s=0.15),
    Endpoint(Call("/search?q=shoes"), clients=1, pause_s=0.8),
    Endpoint(Call("/order/{n}", "POST", b"quantity=1"), clients=3, pause_s=0.25),
    Endpoint(Call("/recommendations/{n}"), clients=2, pause_s=0.3),
    Endpoint(Call("/report/{n}"), clients=1, pause_s=0.5),
    Endpoint(Call("/login", "POST", b"name=ada"), clients=1, pause_s=0.5),
    Endpoint(Call("/similar/{n}"), clients=1, pause_s=1.4),
)
"""At most 35 requests a second, which cost about a third of a core, load included."""
STOREFRONT: Final = (
    Endpoint(Call("/buy/{n}"), clients=6, pause_s=0.3),
    Endpoint(Call("/quote/{n}"), clients=1, pause_s=0.5),
    Endpoint(Call("/total/{n}"), clients=3, pause_s=0.2),
)
MIXES: Final = {"shop": MIX, "storefront": STOREFRONT}
KEPT_SAMPLES: Final = 1000


def main() -> int:
    """Load the server at the address that is the first argument; the second may name the mix."""
    leash()
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    mix = MIXES[sys.argv[2] if len(sys.argv) > 2 else "shop"]  # noqa: PLR2004
    with Load(sys.argv[1], mix, max_samples=KEPT_SAMPLES) as load:
        signal.sigwait(ending)
        load.stop(grace_s=0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
