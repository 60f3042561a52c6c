"""``python -m rung``."""

from rung.cli.main import main

main()
