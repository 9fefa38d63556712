"""`Challenger`: the challenges of an API that may accept DPoP proofs."""

from better_auth_keys.challenges import MISSING, Challenge
from better_auth_keys.tokens.dpop import DpopVerifier


class Challenger:
    """Writes the challenges of one API, which may accept DPoP proofs with `dpop`.

    `metadata_url` is where the API's metadata is, if it has any.
    """

    def __init__(self, realm: str, dpop: DpopVerifier | None) -> None:
        self._realm = realm
        self._algorithms = [] if dpop is None else dpop.algorithms
        self.metadata_url: str | None = None

    def header(self, challenge: Challenge, *, proven: bool = False) -> str:
        """Return the value of `WWW-Authenticate` (RFC 9449 section 7.1).

        `proven` is whether the request used the scheme DPoP: the error belongs to the scheme that
        was used. A client that used Bearer, or none, learns which schemes there are.
        """
        if proven:
            return self._written(challenge, dpop=True)
        written = self._written(challenge, dpop=False)
        return f"{written}, {self._written(MISSING, dpop=True)}" if self._algorithms else written

    def _written(self, challenge: Challenge, *, dpop: bool) -> str:
        algorithms = self._algorithms if dpop else ()
        return challenge.header(self._realm, self.metadata_url, dpop_algorithms=algorithms)
