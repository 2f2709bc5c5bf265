"""The update format and its verifier; it stands alone, to be read in an afternoon.

release.py    what one update is: signed by the authors' keys as custom data of a TUF target
metadata.py   who may say so: TUF metadata against a trusted root and a floor  →  VerifiedRelease
stanza.py     the content key, wrapped for each device (HPKE)
stream.py     the payload, in chunks that are each sealed (STREAM)
bundle.py     the file that carries all three
unpack.py     verify, decrypt and hand on, in one bounded pass
author.py     the other side: keys, repositories, bundles
"""
