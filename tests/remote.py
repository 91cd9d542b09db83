"""A real ssh server on loopback for a test: a key of its own, an unprivileged port, nobody else gets in."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from perfwatch.examples.starting import await_listening, end_group, free_port

SSH = shutil.which("ssh")
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SEPARATED = Path("/run/sshd")
"""Must be there, and empty, for a server that root runs."""
READY_S = 30
SETTINGS = """
ListenAddress 127.0.0.1
Port {port}
HostKey {here}/host
AuthorizedKeysFile {here}/key.pub
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding no
StrictModes no
"""


@contextlib.contextmanager
def ssh_server():
    """Run one; yields what makes of a command and its environment the one that runs it there, in a terminal."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-ssh-") as directory, separated():
        here, port = Path(directory), free_port()
        for name in ("host", "key"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", here / name]
            subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
        (here / "known").write_text(f"[127.0.0.1]:{port} {(here / 'host.pub').read_text()}")
        (here / "settings").write_text(SETTINGS.format(port=port, here=here))
        with (here / "log").open("wb") as log:
            process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", here / "settings"],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            await_listening(process, f"127.0.0.1:{port}", READY_S)
            yield lambda *command, **environment: _there(here, port, command, environment)
        finally:
            end_group(process)


def _there(here, port, command, environment):
    told = shlex.join(["env", *(f"{name}={value}" for name, value in environment.items()), *map(str, command)])
    options = ("IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={here}/known")
    given = [part for option in options for part in ("-o", option)]
    return [SSH, "-F", "none", "-tt", "-p", str(port), "-i", here / "key", *given, "127.0.0.1", told]


@contextlib.contextmanager
def separated():
    """Make the directory that the server wants, where no other server has made it."""
    try:
        SEPARATED.mkdir(mode=0o755)
    except FileExistsError:
        yield
        return
    try:
        yield
    finally:
        SEPARATED.rmdir()
