"""``python -m backchannel.cli``."""

import sys

from . import main

sys.exit(main())
