"""The command `cmapjax`, also `python -m cmapjax`."""

from cmapjax._cli import main

if __name__ == "__main__":
    main()
