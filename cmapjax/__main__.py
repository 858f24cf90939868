"""The command `cmapjax`, also `python -m cmapjax`."""

from cmapjax.cli import main

if __name__ == "__main__":
    main()
