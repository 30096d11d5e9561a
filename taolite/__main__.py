"""`python -m taolite`: the command of the same name."""

import sys

from taolite.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
