"""The notebook: widgets, magics, and the loop behind them. Imported by ``%load_ext backchannel`` only."""

from __future__ import annotations

import logging

# Without a handler of the user's, warnings from our threads would be printed into whichever cell ran last.
logging.getLogger("backchannel").addHandler(logging.NullHandler())
