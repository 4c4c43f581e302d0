"""Servers of Debian's, run from where `deploy/setup` has unpacked them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SERVERS: Final = Path(__file__).parents[2] / ".venv" / "servers"
_NGINX: Final = SERVERS / "usr/sbin/nginx"
_EXIM: Final = SERVERS / "usr/sbin/exim4"
_NOBODY: Final = 65534
_NGINX_FILE: Final = """
daemon off; master_process off; user root; pid {directory}/{port}.pid;
events {{}}
http {{
    access_log off; client_body_temp_path {directory}; proxy_temp_path {directory};
    fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen {port}{ssl}; root {directory};
        location /health {{ if (-f $document_root/loop) {{ return 302 /health; }} }}
    }}
}}
"""
_CERTIFIED: Final = (
    " ssl; ssl_certificate {0}/server.pem; ssl_certificate_key {0}/server.pem"
)
_EXIM_FILE: Final = """
exim_path = {exim}
spool_directory = {directory}
log_file_path = syslog
pid_file_path = {directory}/pid
primary_hostname = mx.example
daemon_smtp_ports = {port}
tls_advertise_hosts =
host_lookup =
keep_environment =
"""
# Exim wants the user whose name is compiled in: in mounts of its own, there is one.
_KNOWN: Final = """
for file in passwd group; do mount --bind "$0/$file" "/etc/$file" || exit; done
exec "$@"
"""


def nginx(directory: Path, port: int, *, certified: bool = False) -> tuple[str, ...]:
    """Return the command of an nginx that serves the files in ``directory``.

    With a file ``loop`` in it, /health leads to itself. TLS is by ``server.pem``.
    """
    ssl = _CERTIFIED.format(directory) if certified else ""
    file = directory / f"nginx-{port}.conf"
    file.write_text(_NGINX_FILE.format(directory=directory, port=port, ssl=ssl))
    return (str(_NGINX), "-c", str(file), "-p", str(directory), "-e", "stderr")


@contextmanager
def exim(port: int) -> Iterator[tuple[str, ...]]:
    """Give the command of an exim that greets whoever comes."""
    directory = Path(tempfile.mkdtemp(prefix="guideway-exim-"))  # where others may look
    try:
        directory.chmod(0o755)
        for name, entry in (
            ("passwd", f"{_NOBODY}:{_NOBODY}::/:/bin/false"),
            ("group", ""),
        ):
            known = Path("/etc", name).read_text()
            line = f"Debian-exim:x:{entry or f'{_NOBODY}:'}\n"
            (directory / name).write_text(line + known)
        file = directory / "exim.conf"
        settings = {"exim": _EXIM, "directory": directory, "port": port}
        file.write_text(_EXIM_FILE.format(**settings))
        shutil.chown(directory, _NOBODY, _NOBODY)
        shutil.chown(file, 0, 0)
        known = ("unshare", "--mount", "sh", "-c", _KNOWN, str(directory))
        yield (*known, str(_EXIM), "-bdf", "-C", str(file))
    finally:
        shutil.rmtree(directory)
