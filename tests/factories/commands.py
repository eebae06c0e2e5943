"""The command line in this process."""

from typer.testing import CliRunner

from ebm_bench import cli


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])
