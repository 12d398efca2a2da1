"""`python -m specdsl` is `specdsl`."""

from specdsl.cli.root import main

if __name__ == "__main__":
    main(prog_name="specdsl")
