"""gunicorn's settings for a server that shares nothing: no control socket in the user's home, as newer ones make.

Older versions skip names that they do not know.
"""

from __future__ import annotations

control_socket_disable = True
