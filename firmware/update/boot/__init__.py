"""Boot control: where a release is written to, what the next start takes, and the way back.

`port` says what the agent needs. `directory` keeps versions in folders. `machine` keeps two system slots, A
and B, with a `Switch` that tells the board's bootloader which one to take (`tryboot`, `nvbootctrl`) and a
`Writer` that fills a slot (`partition`), or with RAUC as both (`rauc`). `choose` opens what a board's
profile names.
"""
