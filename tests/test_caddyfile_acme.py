"""docker/Caddyfile gets its certificates by ACME, here from another Caddy, which is an ACME server.

The ACME server connects to port 80 of the names. So both run in network and mount namespaces of
their own, where the ports are free and /etc/hosts has the names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.devstack.https import CADDYFILE

NAMES = ("app.example.test", "api.example.test")
NAMESPACES = ["unshare", "--net", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
AUTHORITY = """\
{
	admin off
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	http_port 9080
	https_port 9443
}
https://localhost:9443 {
	tls internal
	acme_server
}
"""
# $1: caddy, $2: docker/Caddyfile, $3: the Python that is the client.
INSIDE = """
set -eu
"$3" -c "$LOOPBACK_UP"
echo "127.0.0.1 localhost $NAMES" >hosts
mount --bind hosts /etc/hosts
trap 'kill $started; wait' EXIT
started=
root=$PWD/authority/caddy/pki/authorities/local/root.crt
XDG_DATA_HOME=$PWD/authority XDG_CONFIG_HOME=$PWD/authority \\
    "$1" run --config authority.Caddyfile --adapter caddyfile 2>authority.log &
started=$!
until test -s "$root"; do sleep 0.1; done
CERTIFICATES="email you@example.com
acme_ca https://localhost:9443/acme/local/directory
acme_ca_root $root"
export CERTIFICATES
XDG_DATA_HOME=$PWD/own XDG_CONFIG_HOME=$PWD/own \\
    "$1" run --config "$2" --adapter caddyfile >access.log 2>own.log &
started="$started $!"
"$3" -c "$CLIENT" "$root" $NAMES
"""
# SIOCSIFFLAGS of `lo`: up and running.
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
"""
CLIENT = """
import json, socket, ssl, sys, time
authority, *names = sys.argv[1:]
trusted = ssl.create_default_context(cafile=authority)
for name in names:
    while True:
        try:
            with socket.create_connection((name, 443)) as plain:
                with trusted.wrap_socket(plain, server_hostname=name) as secure:
                    head = ["GET /api/auth/reset-password/secret?token=secret HTTP/1.1",
                            f"Host: {name}", "Authorization: Bearer secret", "Connection: close"]
                    secure.sendall("\\r\\n".join([*head, "", ""]).encode())
                    while secure.recv(4096):
                        pass
                    print(json.dumps(secure.getpeercert()["subjectAltName"]))
                    break
        except OSError:
            time.sleep(0.1)
"""


@pytest.mark.slow
def test_certificates_come_from_the_acme_server_of_the_settings(tmp_path: Path) -> None:
    if subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow namespaces of one's own")
    caddy = shutil.which("caddy", path=str(Path(sys.executable).parent))
    assert caddy is not None
    (tmp_path / "authority.Caddyfile").write_text(AUTHORITY)
    environment = {
        **os.environ,
        "LOOPBACK_UP": LOOPBACK_UP,
        "CLIENT": CLIENT,
        "NAMES": " ".join(NAMES),
        "HTTP_PORT": "80",
        "HTTPS_PORT": "443",
        "APP_ADDRESSES": f"http://{NAMES[0]}, https://{NAMES[0]}",
        "API_ADDRESSES": f"http://{NAMES[1]}, https://{NAMES[1]}",
        "WEB_UPSTREAM": "127.0.0.1:1",
        "SERVICE_UPSTREAMS": "127.0.0.1:2",
        "ACCESS_LOG": "stdout",
    }
    command = [*NAMESPACES, "sh", "-c", INSIDE, "sh", caddy, str(CADDYFILE), sys.executable]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [["DNS", name]] for name in NAMES
    ]
    # The access log has the requests, without what must not be in it.
    lines = [
        json.loads(line)["request"] for line in (tmp_path / "access.log").read_text().splitlines()
    ]
    assert "/api/auth/reset-password/" in {line["uri"] for line in lines}
    assert "secret" not in (tmp_path / "access.log").read_text()
