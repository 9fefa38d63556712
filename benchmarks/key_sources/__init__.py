"""The comparison of key sources: our cache of an issuer's keys beside the usual ones."""
