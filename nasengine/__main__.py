"""`python -m nasengine` is the command `nasengine`."""

from nasengine.cli.main import run

if __name__ == "__main__":
    run()
