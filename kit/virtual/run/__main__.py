"""`python -m kit.virtual.run JSON`: one boot of the board, ended by the parent (see kit.virtual.chip)."""

import json
import sys

from .runtime import Runtime

Runtime(json.loads(sys.argv[1])).live()
