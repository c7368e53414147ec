"""`python -m mmtrain` does what `mmtrain` does."""

import sys

from mmtrain.cli import main

sys.exit(main())
