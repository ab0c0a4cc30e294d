"""`python -m reportgen` is the program `reportgen`."""

from reportgen.cli import main

main()
