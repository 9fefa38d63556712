"""What `benchmarks/key_sources/__main__.py` is made of.

`entrants` lists who is compared, `contest` prepares one and runs it in a process of its own,
`certificate` serves the one that wants https, `plan` is what that process is told and tells,
`scenarios` is what runs in it, with `ours` and `others` behind one face and `ticker` to see stalls,
`issuer` is the JWKS server, and `report` makes the table and judges it.

`plan`, `issuer`, `scenarios`, `ticker` and `others` need the standard library alone: they run in
virtual environments that hold the other library and nothing of ours.
"""
