"""The command line. Every verb is one file: parse, call one function, print."""

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run ``pdefm``; errors for users are one line on stderr and an exit status."""
    import click

    from pdefm.cli.app import app
    from pdefm.errors import EnvironmentFault, PdefmError

    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        status = app(args=arguments, standalone_mode=False, prog_name="pdefm")
    except (PdefmError, click.ClickException, click.Abort, KeyboardInterrupt, OSError) as error:
        if debug:
            raise
        status = _report(error, EnvironmentFault.exit_status)
    sys.exit(status if isinstance(status, int) else 0)


def _report(error: BaseException, environment_status: int) -> int:
    """Print the line and return the exit status."""
    import click

    from pdefm.errors import PdefmError

    if isinstance(error, KeyboardInterrupt | click.Abort):
        sys.stderr.write("pdefm: interrupted; the same command goes on where it can\n")
        return EXIT_INTERRUPTED
    if isinstance(error, click.ClickException):
        text = f"{error.format_message()} See the verb's --help."
        sys.stderr.write(f"pdefm: {' '.join(text.split())}\n")
        return error.exit_code
    sys.stderr.write(f"pdefm: {' '.join(str(error).split())}\n")
    return error.exit_status if isinstance(error, PdefmError) else environment_status
