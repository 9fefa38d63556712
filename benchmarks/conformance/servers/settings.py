"""The settings of all servers, from the environment."""

import os
from typing import Final

ISSUER: Final = os.environ["ISSUER"]
JWKS_URL: Final = os.environ["JWKS_URL"]
