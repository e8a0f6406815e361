"""``python -m pdefm`` is the command line, so that launchers can start it as a module."""

from pdefm.cli import main

if __name__ == "__main__":
    main()
