"""A stand-in for an ingress controller and for Services: a Caddyfile from their manifests.

It repeats no request and checks no health: a pod gets requests while it is among the endpoints, and
a request that it does not answer is lost. Real controllers are more patient.
"""

from collections.abc import Sequence
from typing import Final

from scripts.proofs.kubernetes.endpoints import ZONE
from scripts.proofs.kubernetes.manifests import Manifest, find

_OPTIONS: Final = """\
{
	admin off
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	http_port 8080
	https_port 8443
	local_certs
	servers {
		protocols h1 h2
	}
}
"""
# Idle connections end before the 5 s after which web/ and the service close them
# (docs/kubernetes.md).
_PROXIED: Final = """\
	reverse_proxy {{
		dynamic a {{
			name {service}.{zone}
			port {port}
			refresh 200ms
			resolvers {resolver}
			versions ipv4
		}}
		lb_policy round_robin
		header_up {header}
		transport http {{
			dial_timeout 2s
			keepalive 3s
		}}
	}}
"""
# A single address, because Better Auth does not accept a list.
_CLIENT: Final = "X-Forwarded-For {client_ip}"
# A Service passes connections on, and adds no headers.
_NOTHING: Final = "-X-Forwarded-Proto"


def caddyfile(manifests: Sequence[Manifest], services: Sequence[str], resolver: str) -> str:
    """Return the configuration for the hosts and paths of the Ingress, and for these Services.

    `resolver` is the address of a DNS server that knows the endpoints.
    """
    ports = {name: _port(find(manifests, "Service", name)) for name in services}
    sites = [_OPTIONS]
    for rule in find(manifests, "Ingress", "public")["spec"]["rules"]:
        sites.append(f"https://{rule['host']}:8443 {{\n")
        for number, path in enumerate(rule["http"]["paths"]):
            name = path["backend"]["service"]["name"]
            proxied = _proxied(name, ports[name], _CLIENT, resolver)
            sites.append(f"@{number} path {_paths(path)}\nhandle @{number} {{\n{proxied}}}\n")
        sites.append("handle {\n\trespond 404\n}\n}\n")
    for name, port in ports.items():
        sites.append(f"http://:{port} {{\n{_proxied(name, port, _NOTHING, resolver)}}}\n")
    return "".join(sites)


def _proxied(service: str, port: int, header: str, resolver: str) -> str:
    return _PROXIED.format(service=service, zone=ZONE, port=port, header=header, resolver=resolver)


def _port(service: Manifest) -> int:
    (entry,) = service["spec"]["ports"]
    port: int = entry["port"]
    return port


def _paths(path: Manifest) -> str:
    """Return what Caddy matches: a Prefix matches whole elements, /docs but not /docsx."""
    plain = path["path"].rstrip("/")
    return plain if path["pathType"] == "Exact" else f"{plain} {plain}/*".strip()
